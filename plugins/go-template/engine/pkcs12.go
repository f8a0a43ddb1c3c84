package engine

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// bags are the contents of a PFX, in its order.
type bags struct {
	keys         []crypto.PrivateKey
	certificates []*x509.Certificate
}

// openPFX reads any number of keys and certificates. The library's general reader knows RSA and ECDSA keys only, its
// reader of chains knows others, but one key only: the second is tried where the first gives up.
func openPFX(password, pfx string) (bags, error) {
	blocks, err := pkcs12.ToPEM([]byte(pfx), password)
	if err != nil {
		key, leaf, rest, chainErr := pkcs12.DecodeChain([]byte(pfx), password)
		if chainErr != nil {
			return bags{}, err
		}
		return bags{[]crypto.PrivateKey{key}, append([]*x509.Certificate{leaf}, rest...)}, nil
	}
	var found bags
	for _, block := range blocks {
		if err := found.add(block); err != nil {
			return bags{}, err
		}
	}
	return found, nil
}

func (b *bags) add(block *pem.Block) error {
	if block.Type == certificateBlock {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return errors.New("a certificate cannot be parsed")
		}
		b.certificates = append(b.certificates, certificate)
		return nil
	}
	key, err := parsePrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	b.keys = append(b.keys, key)
	return nil
}

func pkcs12Key(pfx string) (string, error) { return pkcs12KeyPass("", pfx) }

func pkcs12KeyPass(password, pfx string) (string, error) {
	found, err := openPFX(password, pfx)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, key := range found.keys {
		text, err := encodePrivateKey(key)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

func pkcs12Cert(pfx string) (string, error) { return pkcs12CertPass("", pfx) }

func pkcs12CertPass(password, pfx string) (string, error) {
	found, err := openPFX(password, pfx)
	if err != nil {
		return "", err
	}
	return encodeCertificates(leafToRoot(found.certificates)), nil
}

// leafToRoot orders by authority and subject key ids; where that gives no single chain of all certificates, the order
// stays as it was.
func leafToRoot(list []*x509.Certificate) []*x509.Certificate {
	issuerOf := func(child *x509.Certificate) *x509.Certificate {
		for _, candidate := range list {
			if candidate != child && len(candidate.SubjectKeyId) > 0 && bytes.Equal(child.AuthorityKeyId, candidate.SubjectKeyId) {
				return candidate
			}
		}
		return nil
	}
	issues := map[*x509.Certificate]bool{}
	for _, certificate := range list {
		if issuer := issuerOf(certificate); issuer != nil {
			issues[issuer] = true
		}
	}
	for _, start := range list {
		if issues[start] {
			continue
		}
		chain := []*x509.Certificate{}
		for at := start; at != nil && len(chain) <= len(list); at = issuerOf(at) {
			chain = append(chain, at)
		}
		if len(chain) == len(list) {
			return chain
		}
	}
	return list
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
	chain, err := certificates(certs)
	if err != nil {
		return "", err
	}
	private, err := privateKey(key)
	if err != nil {
		return "", err
	}
	var rest []*x509.Certificate
	if withChain {
		rest = chain[1:]
	}
	pfx, err := pkcs12.Modern.Encode(private, chain[0], rest, password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(pfx), nil
}

func pemTruststoreToPkcs12(certs string) (string, error) {
	return pemTruststoreToPkcs12Pass(certs, "")
}

func pemTruststoreToPkcs12Pass(certs, password string) (string, error) {
	list, err := certificates(certs)
	if err != nil {
		return "", err
	}
	pfx, err := pkcs12.Modern.EncodeTrustStore(list, password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(pfx), nil
}
