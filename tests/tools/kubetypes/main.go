// Reads Kubernetes objects (YAML documents on standard input) into the types their own projects publish, strictly:
// a field that a type does not have, or a value of another kind, is a fault. For the kinds that the schemas of
// Kubernetes itself do not know. Exit status 1 when there is a fault; other kinds are passed over.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	strict "sigs.k8s.io/yaml"
)

// One empty object of each kind, to be filled.
var kinds = map[string]func() any{
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
	"gateway.networking.k8s.io/v1 HTTPRoute":  func() any { return &gateway.HTTPRoute{} },
}

func main() {
	faults, read := 0, 0
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var head struct{ APIVersion, Kind string }
		if err := strict.Unmarshal(document, &head); err != nil {
			fmt.Fprintln(os.Stderr, err)
			faults++
			continue
		}
		empty, known := kinds[head.APIVersion+" "+head.Kind]
		if !known {
			continue
		}
		read++
		if err := strict.UnmarshalStrict(document, empty()); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", head.Kind, err)
			faults++
		}
	}
	fmt.Println(read)
	if faults > 0 {
		os.Exit(1)
	}
}
