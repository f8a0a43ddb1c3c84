package engine

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// jwkPublicKeyPEM takes a public key only, as external-secrets does.
func jwkPublicKeyPEM(document string) (string, error) {
	public, err := rawKey(document)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return encodePEM(publicKeyBlock, der), nil
}

func jwkPrivateKeyPEM(document string) (string, error) {
	private, err := rawKey(document)
	if err != nil {
		return "", err
	}
	return encodePrivateKey(private)
}

func rawKey(document string) (any, error) {
	key, err := jwk.ParseKey([]byte(document))
	if err != nil {
		return nil, err
	}
	var raw any
	err = key.Raw(&raw)
	return raw, err
}

// rsaDecrypt words its errors as users of external-secrets know them.
func rsaDecrypt(scheme, hashName, in, keyPEM string) (string, error) {
	switch scheme {
	case "None":
		return in, nil
	case "RSA-OAEP":
	default:
		return "", fmt.Errorf("decryption scheme %v is not supported", scheme)
	}
	private, err := privateKey(keyPEM)
	if errors.Is(err, errNoPEM) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("could not parse private key: %w", err)
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		return "", errors.New("could not parse RSA private key")
	}
	plain, err := rsa.DecryptOAEP(oaepHash(hashName), nil, key, []byte(in), nil)
	if err != nil {
		return "", fmt.Errorf("error decrypting data with RSA: %w", err)
	}
	return string(plain), nil
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
