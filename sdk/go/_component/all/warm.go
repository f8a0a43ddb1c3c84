package main

import (
	"runtime/debug"

	"postern.dev/sdk/go"
	"wit_component/guest"
)

// An instance serves one call, so collecting early gains nothing; the limit is half of the memory that a plugin gets. A
// template engine has another reason: the collector reads the clock, which the host counts as a draw of entropy, and a
// render that drew some is not kept.
func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)
}

// warm runs once, when the component is built: what it touches is ready in every instance. What fails here fails the
// build, with its text.
//
//go:wasmexport wizer-initialize
func warm() {
	descriptor := guest.Plugin.Describe()
	if descriptor.Name == "" || len(descriptor.Serves) == 0 {
		panic("Describe has to give a Name and at least one key in Serves")
	}
	_, login := any(guest.Plugin).(postern.Login)
	_, find := any(guest.Plugin).(postern.Finder)
	agree("login", "postern.Login", login, guest.Login)
	agree("find", "postern.Finder", find, guest.Find)
}

// agree holds the code against postern.toml: the host knows an interface by its export alone.
func agree(name, kind string, has, says bool) {
	if has && !says {
		panic("New answers a " + kind + `: add "` + name + `" to the interfaces in postern.toml`)
	}
	if says && !has {
		panic(`postern.toml has "` + name + `" among its interfaces, but New answers no ` + kind)
	}
}
