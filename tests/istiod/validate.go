package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
)

// The domain of the cluster. Without it istiod does not find the Service that a short host name means.
const domain = "cluster.local"

// A document of a manifest, as JSON.
type document struct {
	file string
	kind schema.GroupVersionKind
	json []byte
}

// read returns the documents of the files.
func read(files []string) ([]document, error) {
	var found []document
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 64*1024)
		for {
			var raw json.RawMessage
			if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			var named crd.IstioKind
			if err := json.Unmarshal(raw, &named); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if named.Kind != "" {
				found = append(found, document{file, named.GroupVersionKind(), raw})
			}
		}
	}
	return found, nil
}

// istios returns the object's kind among those of istiod; false for one of Kubernetes or of another operator.
func (d document) istios() (resource.Schema, bool) {
	return collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&d.kind))
}

// config reads an object as istiod does; a field that it does not know is an error, as it is for the API server.
func (d document) config(schema resource.Schema) (*config.Config, error) {
	var object crd.IstioKind
	decoder := json.NewDecoder(bytes.NewReader(d.json))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	strict := func(schema resource.Schema, js string) (config.Spec, error) {
		spec, err := schema.NewInstance()
		if err != nil {
			return nil, err
		}
		return spec, config.ApplyJSONStrict(spec, js)
	}
	return crd.ConvertObjectInternal(schema, &object, domain, strict)
}

// validate runs istiod's validation of each kind on each object of Istio's.
func validate(documents []document) error {
	var faults []error
	for _, document := range documents {
		schema, ok := document.istios()
		if !ok {
			continue
		}
		config, err := document.config(schema)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", document.file, document.kind.Kind, err))
			continue
		}
		warnings, err := schema.ValidateConfig(*config)
		if err == nil && warnings != nil {
			err = fmt.Errorf("warning: %w", warnings)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s %s: %w", document.file, document.kind.Kind, config.Name, err))
			continue
		}
		fmt.Printf("%s %s %s/%s\n", document.kind.GroupVersion(), document.kind.Kind, config.Namespace, config.Name)
	}
	return errors.Join(faults...)
}
