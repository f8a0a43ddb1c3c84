// The OCI registry that tests push to and pull from. A module of its own: a change here must not build the control plane again.
module postern.dev/tests/kit/tools/registry

go 1.26

tool github.com/google/go-containerregistry/cmd/registry

require github.com/google/go-containerregistry v0.22.1 // indirect
