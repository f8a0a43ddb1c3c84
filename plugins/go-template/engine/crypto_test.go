package engine

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"
)

// chain makes root, intermediate and leaf, and the leaf's key as PKCS#8.
func chain(t *testing.T, leafKey any, leafPublic any) (leaf, intermediate, root, key string) {
	t.Helper()
	rootKey, interKey := ecKey(t), ecKey(t)
	template := func(serial int64, name string, isCA bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
	}
	rootTemplate, interTemplate, leafTemplate := template(1, "root", true), template(2, "inter", true), template(3, "leaf", false)
	leafTemplate.SubjectKeyId = []byte("leaf")
	leafTemplate.DNSNames = []string{"a.example", "b.example"}
	leafTemplate.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)}
	leafTemplate.EmailAddresses = []string{"ops@a.example"}
	leafTemplate.URIs = []*url.URL{{Scheme: "spiffe", Host: "a.example", Path: "/x"}}
	rootCert := issue(t, rootTemplate, rootTemplate, &rootKey.PublicKey, rootKey)
	interCert := issue(t, interTemplate, rootCert, &interKey.PublicKey, rootKey)
	leafCert := issue(t, leafTemplate, interCert, leafPublic, interKey)
	text, err := encodePrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(c *x509.Certificate) string { return encodeCertificates([]*x509.Certificate{c}) }
	return encode(leafCert), encode(interCert), encode(rootCert), text
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t *testing.T, template, parent *x509.Certificate, public any, signer any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestPkcs12RoundTripKeepsKeyAndOrdersChain(t *testing.T) {
	ec := ecKey(t)
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{"ecdsa": {ec, &ec.PublicKey}, "ed25519": {edPrivate, edPublic}} {
		leaf, inter, root, key := chain(t, pair[0], pair[1])
		data := flat("certs", leaf+root+inter, "key", key, "pass", "pa:ss")
		got := mustRender(t, `{{ $p := fullPemToPkcs12Pass .certs .key .pass | b64dec }}{{ pkcs12keyPass .pass $p }}{{ pkcs12certPass .pass $p }}`, data)
		if got != key+leaf+inter+root {
			t.Errorf("%s, with the chain: got\n%s", name, got)
		}
		got = mustRender(t, `{{ $p := pemToPkcs12 .certs .key | b64dec }}{{ pkcs12key $p }}{{ pkcs12cert $p }}`, data)
		if got != key+leaf {
			t.Errorf("%s, first certificate only: got\n%s", name, got)
		}
	}
}

func TestPkcs12RefusesTheWrongPassword(t *testing.T) {
	ec := ecKey(t)
	leaf, _, _, key := chain(t, ec, &ec.PublicKey)
	_, err := renderText(t, `{{ pemToPkcs12Pass .c .k "right" | b64dec | pkcs12keyPass "wrong" }}`, flat("c", leaf, "k", key), Settings{})
	if err == nil {
		t.Error("no error")
	}
}

func TestFiltersPEMAndChain(t *testing.T) {
	ec := ecKey(t)
	leaf, inter, root, key := chain(t, ec, &ec.PublicKey)
	data := flat("all", "# a comment\n"+key+leaf+inter+root, "chain", inter+leaf+root, "junk", "junk\n"+key+"junk\n")
	for source, want := range map[string]string{
		`{{ filterPEM "certificate" .all }}`:                       leaf + inter + root,
		`{{ filterPEM "PRIVATE KEY" .all }}`:                       key,
		`{{ filterCertChain "leaf" .chain }}`:                      leaf,
		`{{ filterCertChain "intermediate" .chain }}`:              inter,
		`{{ filterCertChain "root" .chain }}`:                      root,
		`{{ certSANs (filterPEM "certificate" .all) | join "," }}`: "a.example,b.example,10.0.0.1,ops@a.example,spiffe://a.example/x",
	} {
		if got := mustRender(t, source, data); got != want {
			t.Errorf("%s: got\n%s", source, got)
		}
	}
	if _, err := renderText(t, `{{ filterPEM "CERTIFICATE" .junk }}`, data, Settings{}); err == nil {
		t.Error("junk was accepted")
	}
}

func TestConvertsJWK(t *testing.T) {
	// The key of RFC 8037, appendix A.1.
	const document = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	const open = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	got := mustRender(t, `{{ jwkPublicKeyPem .public }}{{ jwkPrivateKeyPem .k }}`, flat("k", document, "public", open))
	public, rest := pem.Decode([]byte(got))
	private, _ := pem.Decode(rest)
	if public == nil || public.Type != "PUBLIC KEY" || private == nil || private.Type != "PRIVATE KEY" {
		t.Fatalf("got %s", got)
	}
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	of, err := x509.ParsePKIXPublicKey(public.Bytes)
	if err != nil || !key.(ed25519.PrivateKey).Public().(ed25519.PublicKey).Equal(of.(ed25519.PublicKey)) {
		t.Errorf("the keys do not belong together: %v", err)
	}
}

func TestDecryptsOAEP(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	data := flat("in", string(sealed), "key", string(pkcs1))
	if got := mustRender(t, `{{ rsaDecrypt "RSA-OAEP" "SHA256" .in .key }}{{ rsaDecrypt "None" "None" "x" "" }}`, data); got != "hellox" {
		t.Errorf("got %q", got)
	}
}
