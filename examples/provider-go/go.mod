module postern.dev/examples/provider-go

go 1.25

require postern.dev/sdk/go v0.1.0

replace postern.dev/sdk/go => ../../sdk/go
