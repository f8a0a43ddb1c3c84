package engine

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

func pkcs12Key(pfx string) (string, error) { return pkcs12KeyPass("", pfx) }

// pkcs12KeyPass answers the key; where a PFX has several, all of them in its order.
func pkcs12KeyPass(password, pfx string) (string, error) {
	key, _, _, err := pkcs12.DecodeChain([]byte(pfx), password)
	if err == nil {
		return encodePrivateKey(key)
	}
	keys := manyKeys(password, pfx)
	if keys == nil {
		return "", fmt.Errorf("unable to decode pkcs12 with password: %w", err)
	}
	var out strings.Builder
	for _, key := range keys {
		text, err := encodePrivateKey(key)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// manyKeys reads what the reader of chains refuses: a PFX with more than one key. None for any other.
func manyKeys(password, pfx string) []crypto.PrivateKey {
	// Deprecated, and the one reader that takes several keys.
	blocks, err := pkcs12.ToPEM([]byte(pfx), password)
	if err != nil {
		return nil
	}
	var keys []crypto.PrivateKey
	for _, block := range blocks {
		if block.Type == certificateBlock {
			continue
		}
		key, err := parsePrivateKey(block.Bytes)
		if err != nil {
			return nil
		}
		keys = append(keys, key)
	}
	if len(keys) < 2 {
		return nil
	}
	return keys
}

func pkcs12Cert(pfx string) (string, error) { return pkcs12CertPass("", pfx) }

func pkcs12CertPass(password, pfx string) (string, error) {
	_, leaf, rest, err := pkcs12.DecodeChain([]byte(pfx), password)
	if err != nil {
		return "", fmt.Errorf("unable to decode pkcs12 certificate with password: %w", err)
	}
	list := append([]*x509.Certificate{leaf}, rest...)
	if chain, err := leafToRoot(list); err == nil {
		list = chain
	}
	return encodeCertificates(list), nil
}

func pemToPkcs12(cert, key string) (string, error) { return pemToPkcs12Pass(cert, key, "") }

func pemToPkcs12Pass(cert, key, password string) (string, error) {
	return sealPFX(cert, key, password, false)
}

func fullPemToPkcs12(certs, key string) (string, error) { return fullPemToPkcs12Pass(certs, key, "") }

func fullPemToPkcs12Pass(certs, key, password string) (string, error) {
	return sealPFX(certs, key, password, true)
}

func sealPFX(certs, key, password string, withChain bool) (string, error) {
	first, after := pem.Decode([]byte(certs))
	if first == nil {
		return "", errNoPEM
	}
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return "", err
	}
	var rest []*x509.Certificate
	if withChain {
		if rest, err = allCertificates(after); err != nil {
			return "", err
		}
	}
	private, err := privateKey(key)
	if err != nil {
		return "", err
	}
	pfx, err := pkcs12.Modern.Encode(private, leaf, rest, password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(pfx), nil
}

func pemTruststoreToPkcs12(certs string) (string, error) {
	return pemTruststoreToPkcs12Pass(certs, "")
}

func pemTruststoreToPkcs12Pass(certs, password string) (string, error) {
	list, err := allCertificates([]byte(certs))
	if err != nil {
		return "", err
	}
	pfx, err := pkcs12.Modern.EncodeTrustStore(list, password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(pfx), nil
}
