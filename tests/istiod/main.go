// Istiod without a cluster: its own validation of rendered manifests, and its discovery server, which tells a real Envoy
// what it would tell the pods of an ingress gateway.
//
//	istiod validate FILE...     each object of Istio's that the files hold, as istiod's webhook judges it
//	istiod serve FILE...        the discovery server for the objects of the files; commands come by standard input
package main

import (
	"fmt"
	"os"

	"istio.io/istio/pkg/log"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: istiod validate|serve FILE..."))
	}
	quiet()
	objects, err := read(os.Args[2:])
	if err != nil {
		fail(err)
	}
	switch os.Args[1] {
	case "validate":
		err = validate(objects)
	case "serve":
		err = serve(objects)
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

// quiet lets only warnings of the discovery server through.
func quiet() {
	options := log.DefaultOptions()
	// Standard output is for answers.
	options.OutputPaths = []string{"stderr"}
	options.SetDefaultOutputLevel("all", log.WarnLevel)
	if err := log.Configure(options); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "istiod:", err)
	os.Exit(1)
}
