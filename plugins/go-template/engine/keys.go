package engine

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"hash"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

func jwkPublicKeyPEM(document string) (string, error) {
	key, err := jwk.ParseKey([]byte(document))
	if err != nil {
		return "", errors.New("the JWK cannot be parsed")
	}
	public, err := jwk.PublicRawKeyOf(key)
	if err != nil {
		return "", errors.New("the JWK has no public key")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", errors.New("the JWK has a type that PKIX cannot hold")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

func jwkPrivateKeyPEM(document string) (string, error) {
	key, err := jwk.ParseKey([]byte(document))
	if err != nil {
		return "", errors.New("the JWK cannot be parsed")
	}
	var private any
	if err := key.Raw(&private); err != nil {
		return "", errors.New("the JWK has no private key")
	}
	return encodePrivateKey(private)
}

func rsaDecrypt(scheme, hashName, in, keyPEM string) (string, error) {
	switch scheme {
	case "None":
		return in, nil
	case "RSA-OAEP":
	default:
		return "", errors.New("the scheme must be None or RSA-OAEP")
	}
	private, err := privateKey(keyPEM)
	if err != nil {
		return "", err
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		return "", errors.New("the private key is not an RSA key")
	}
	plain, err := rsa.DecryptOAEP(oaepHash(hashName), nil, key, []byte(in), nil)
	return string(plain), err
}

// oaepHash takes SHA-256 for every name that it does not know, as external-secrets does.
func oaepHash(name string) hash.Hash {
	switch name {
	case "SHA1":
		return sha1.New()
	case "SHA512":
		return sha512.New()
	}
	return sha256.New()
}
