package engine

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
)

// The words of these errors are those that users of external-secrets know.
var (
	errManyLeaves = errors.New("found multiple leaf or disjunct certificates")
	errNoLeaf     = errors.New("no leaf certificate found")
	errCycle      = errors.New("constructing chain resulted in cycle")
)

// leafToRoot orders certificates so that each is followed by the one whose subject key id is its authority key id. It
// verifies nothing.
//
// Ids that are missing count as equal: certificates without any have no order here, and what is made of them then is
// what templates in use give.
func leafToRoot(list []*x509.Certificate) ([]*x509.Certificate, error) {
	issuer := make([]int, len(list))
	issues := make([]bool, len(list))
	for i, certificate := range list {
		issuer[i] = -1
		for j, candidate := range list {
			if i != j && bytes.Equal(certificate.AuthorityKeyId, candidate.SubjectKeyId) {
				issuer[i], issues[j] = j, true
				break
			}
		}
	}
	leaf := slices.Index(issues, false)
	if leaf < 0 {
		return nil, errNoLeaf
	}
	if slices.Contains(issues[leaf+1:], false) {
		return nil, errManyLeaves
	}
	var chain []*x509.Certificate
	for at := leaf; at >= 0; at = issuer[at] {
		if len(chain) == len(list) {
			return nil, errCycle
		}
		chain = append(chain, list[at])
	}
	return chain, nil
}

// filterCertChain answers one part of a chain; nothing where the chain has no such part, or where there is no such part
// at all.
func filterCertChain(part, text string) (string, error) {
	blocks, _ := pemBlocks([]byte(text))
	list, err := parseCertificates(blocks)
	if err != nil {
		return "", err
	}
	chain, err := leafToRoot(list)
	if err != nil {
		return "", err
	}
	leaf, last := chain[0], chain[len(chain)-1]
	var kept []*x509.Certificate
	switch part {
	case "leaf":
		if !isRoot(leaf) {
			kept = chain[:1]
		}
	case "intermediate":
		kept = chain[1:]
		if root := slices.IndexFunc(kept, isRoot); root >= 0 {
			kept = kept[:root]
		}
	case "root":
		if isRoot(last) {
			kept = chain[len(chain)-1:]
		}
	}
	return encodeCertificates(kept), nil
}

func isRoot(certificate *x509.Certificate) bool {
	return certificate.AuthorityKeyId == nil || bytes.Equal(certificate.AuthorityKeyId, certificate.SubjectKeyId)
}
