module postern.dev/sdk/go

go 1.25
