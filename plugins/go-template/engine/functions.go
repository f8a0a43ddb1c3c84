package engine

import (
	"crypto/rand"
	"errors"
	"math/big"
	"text/template"

	// The zones of the date functions: there is no file to read them from.
	_ "time/tzdata"

	"github.com/Masterminds/sprig/v3"
)

// functions are sprig's without those that look at the machine, and ours; where both have a name, sprig's wins.
func functions() template.FuncMap {
	all := template.FuncMap{
		"pkcs12key":                 pkcs12Key,
		"pkcs12keyPass":             pkcs12KeyPass,
		"pkcs12cert":                pkcs12Cert,
		"pkcs12certPass":            pkcs12CertPass,
		"pemToPkcs12":               pemToPkcs12,
		"pemToPkcs12Pass":           pemToPkcs12Pass,
		"fullPemToPkcs12":           fullPemToPkcs12,
		"fullPemToPkcs12Pass":       fullPemToPkcs12Pass,
		"pemTruststoreToPKCS12":     pemTruststoreToPkcs12,
		"pemTruststoreToPKCS12Pass": pemTruststoreToPkcs12Pass,
		"filterPEM":                 filterPEM,
		"filterCertChain":           filterCertChain,
		"certSANs":                  certSANs,
		"jwkPublicKeyPem":           jwkPublicKeyPEM,
		"jwkPrivateKeyPem":          jwkPrivateKeyPEM,
		"rsaDecrypt":                rsaDecrypt,
		"toYaml":                    toYAML,
		"fromYaml":                  fromYAML,
	}
	for name, function := range sprig.TxtFuncMap() {
		all[name] = function
	}
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(all, name)
	}
	// sprig draws these from math/rand, whose state a pre-initialised component repeats in every instance.
	all["shuffle"] = shuffle
	all["randInt"] = randInt
	return all
}

func shuffle(text string) (string, error) {
	runes := []rune(text)
	for i := len(runes) - 1; i > 0; i-- {
		j, err := draw(i + 1)
		if err != nil {
			return "", err
		}
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes), nil
}

func randInt(from, to int) (int, error) {
	if to <= from {
		return 0, errors.New("the upper limit must be above the lower")
	}
	drawn, err := draw(to - from)
	return from + drawn, err
}

func draw(below int) (int, error) {
	drawn, err := rand.Int(rand.Reader, big.NewInt(int64(below)))
	if err != nil {
		return 0, err
	}
	return int(drawn.Int64()), nil
}
