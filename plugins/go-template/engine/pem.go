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
	pemBegin         = "-----BEGIN "
)

// pemBlocks reads all blocks. What stands before the first is dropped, as tools put comments there; what stands
// elsewhere is an error, since it may be a block that is broken.
func pemBlocks(text string) ([]*pem.Block, error) {
	start := strings.Index(text, pemBegin)
	if start < 0 {
		return nil, nil
	}
	rest := []byte(text[start:])
	var blocks []*pem.Block
	for len(bytes.TrimSpace(rest)) > 0 {
		if !bytes.HasPrefix(bytes.TrimSpace(rest), []byte(pemBegin)) {
			return nil, fmt.Errorf("there is text that is no PEM block after block %d", len(blocks))
		}
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("PEM block %d is broken", len(blocks)+1)
		}
		blocks = append(blocks, block)
		rest = after
	}
	return blocks, nil
}

func filterPEM(kind, text string) (string, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, block := range blocks {
		if strings.EqualFold(block.Type, kind) {
			if err := pem.Encode(&out, block); err != nil {
				return "", err
			}
		}
	}
	return out.String(), nil
}

func certificates(text string) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for _, block := range blocks {
		if block.Type != certificateBlock {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("a certificate cannot be parsed")
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return found, nil
}

func encodeCertificates(list []*x509.Certificate) string {
	var out bytes.Buffer
	for _, certificate := range list {
		// Writing to a buffer does not fail.
		_ = pem.Encode(&out, &pem.Block{Type: certificateBlock, Bytes: certificate.Raw})
	}
	return out.String()
}

func filterCertChain(kind, text string) (string, error) {
	switch kind {
	case "leaf", "intermediate", "root":
	default:
		return "", errors.New("the kind must be leaf, intermediate or root")
	}
	chain, err := certificates(text)
	if err != nil {
		return "", err
	}
	var kept []*x509.Certificate
	for _, certificate := range chain {
		if placeInChain(certificate) == kind {
			kept = append(kept, certificate)
		}
	}
	return encodeCertificates(kept), nil
}

func placeInChain(certificate *x509.Certificate) string {
	selfSigned := bytes.Equal(certificate.RawIssuer, certificate.RawSubject) &&
		certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil
	switch {
	case selfSigned:
		return "root"
	case certificate.IsCA:
		return "intermediate"
	default:
		return "leaf"
	}
}

func certSANs(text string) ([]string, error) {
	chain, err := certificates(text)
	if err != nil {
		return nil, err
	}
	first := chain[0]
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

// parsePrivateKey takes PKCS#8, PKCS#1 and SEC 1, whatever the block says of itself.
func parsePrivateKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("the private key is neither PKCS#8 nor PKCS#1 nor SEC 1")
}

func privateKey(text string) (crypto.PrivateKey, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if strings.HasSuffix(block.Type, privateKeyBlock) {
			return parsePrivateKey(block.Bytes)
		}
	}
	return nil, errors.New("there is no private key")
}

func encodePrivateKey(key crypto.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", errors.New("the private key has a type that PKCS#8 cannot hold")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: der})), nil
}
