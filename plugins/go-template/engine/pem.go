package engine

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	certificateBlock = "CERTIFICATE"
	privateKeyBlock  = "PRIVATE KEY"
	publicKeyBlock   = "PUBLIC KEY"
)

// The words of these errors are those that users of external-secrets know.
var (
	errNoPEM = errors.New("failed to decode PEM block")
	errJunk  = errors.New("error filtering pem: found junk")
	errNoKey = errors.New("unable to parse private key type")
)

// fromFirstBlock drops what stands before the first block, as tools put comments there.
func fromFirstBlock(text string) []byte {
	if start := strings.Index(text, "-----BEGIN"); start >= 0 {
		text = text[start:]
	}
	return []byte(text)
}

// pemBlocks reads blocks until there is none, and answers what is left over.
func pemBlocks(text []byte) (blocks []*pem.Block, rest []byte) {
	for {
		block, after := pem.Decode(text)
		if block == nil {
			return blocks, after
		}
		blocks, text = append(blocks, block), after
	}
}

// filterPEM keeps the blocks of a kind. What is left over is an error only where no block was kept: that is how templates
// in use know it.
func filterPEM(kind, text string) (string, error) {
	blocks, rest := pemBlocks(fromFirstBlock(text))
	var out bytes.Buffer
	for _, block := range blocks {
		if strings.EqualFold(block.Type, kind) {
			if err := pem.Encode(&out, block); err != nil {
				return "", err
			}
		}
	}
	if out.Len() == 0 && len(rest) > 0 {
		return "", errJunk
	}
	return out.String(), nil
}

// parseCertificates takes every block for a certificate, whatever it says of itself.
func parseCertificates(blocks []*pem.Block) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for _, block := range blocks {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, certificate)
	}
	return found, nil
}

// allCertificates reads a text that has certificates and, apart from white space at its end, nothing else.
func allCertificates(text []byte) ([]*x509.Certificate, error) {
	blocks, rest := pemBlocks(text)
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errNoPEM
	}
	return parseCertificates(blocks)
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func encodeCertificates(list []*x509.Certificate) string {
	var out strings.Builder
	for _, certificate := range list {
		out.WriteString(encodePEM(certificateBlock, certificate.Raw))
	}
	return out.String()
}

func certSANs(text string) ([]string, error) {
	block, _ := pem.Decode(fromFirstBlock(text))
	if block == nil {
		return nil, errNoPEM
	}
	first, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("failed to parse certificate: %w", err)
	}
	names := append([]string{}, first.DNSNames...)
	for _, address := range first.IPAddresses {
		names = append(names, address.String())
	}
	names = append(names, first.EmailAddresses...)
	for _, uri := range first.URIs {
		names = append(names, uri.String())
	}
	return names, nil
}

// parsePrivateKey takes PKCS#1, PKCS#8 and SEC 1, whatever the block says of itself.
func parsePrivateKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errNoKey
}

// privateKey reads the first block.
func privateKey(text string) (crypto.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errNoPEM
	}
	return parsePrivateKey(block.Bytes)
}

func encodePrivateKey(key crypto.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return encodePEM(privateKeyBlock, der), nil
}
