package engine

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
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
	// What sprig has gained since its last release.
	all["hexdec"] = hexdec
	all["htpasswd"] = htpasswd
	// sprig draws these from math/rand, whose state a pre-initialised component repeats in every instance.
	all["shuffle"] = shuffle
	all["randInt"] = randInt
	return all
}

// hexdec answers a mistake as the value, as sprig's decoders do.
func hexdec(text string) string {
	plain, err := hex.DecodeString(text)
	if err != nil {
		return err.Error()
	}
	return string(plain)
}

// htpasswd makes a line of an htpasswd file; the algorithm is bcrypt unless it is sha.
func htpasswd(user, password string, algorithm ...string) (string, error) {
	if len(algorithm) > 1 {
		return "", errors.New("htpasswd takes a user, a password and one algorithm")
	}
	if len(algorithm) == 0 || algorithm[0] != "sha" {
		return sprigHtpasswd(user, password), nil
	}
	if strings.Contains(user, ":") {
		return "invalid username: " + user, nil
	}
	sum := sha1.Sum([]byte(password))
	return user + ":{SHA}" + base64.StdEncoding.EncodeToString(sum[:]), nil
}

var sprigHtpasswd = sprig.TxtFuncMap()["htpasswd"].(func(string, string) string)

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
		// As math/rand words it.
		return 0, errors.New("invalid argument to Intn")
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
