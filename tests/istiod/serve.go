package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	v3 "istio.io/istio/pilot/pkg/xds/v3"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test"
)

const (
	namespace        = "fanfare"
	gatewayNamespace = "istio-ingress"
)

// A command, a line of JSON on standard input.
type command struct {
	// Files whose objects of Istio's take the place of those of the same kind and name.
	Apply []string `json:"apply"`
	// The pods that there are now, all of them.
	Pods *[]pod `json:"pods"`
}

// A pod of Fanfare's. Each has an address of its own, since istiod knows pods by it.
type pod struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Address string            `json:"address"`
	Port    int32             `json:"port"`
	Ready   bool              `json:"ready"`
}

// serve runs the discovery server until standard input ends. It writes its own address and the ports of the gateway's
// pod as a line of JSON, and a line for each command that is
// done, with the version of the configuration before it.
func serve(documents []document) error {
	// Filters that Istio builds into its own Envoy, and which the public one does not have.
	features.ALPNFilter = false
	features.MetadataExchange = false
	return test.Wrap(func(t test.Failer) {
		if err := run(t, documents); err != nil {
			t.Fatal(err)
		}
	})
}

func run(t test.Failer, documents []document) error {
	configs, objects, err := split(documents)
	if err != nil {
		return err
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	meshConfig := mesh.DefaultMeshConfig()
	// Istio's own statistics are such a filter too.
	meshConfig.DefaultProviders = &v1alpha1.MeshConfig_DefaultProviders{}
	// Certificates come from the agent beside each Envoy, which is not here; and the pods have no sidecars.
	meshConfig.EnableAutoMtls = wrapperspb.Bool(false)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ingress, err := gateway(ports)
	if err != nil {
		return err
	}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		Configs:           configs,
		KubernetesObjects: append(objects, ingress...),
		MeshConfig:        meshConfig,
		ListenerBuilder:   func() (net.Listener, error) { return listener, nil },
		// The API server would be asked whether the gateway may read its Secrets.
		DisableSecretAuthorization: true,
	})
	generators := server.Discovery.Generators
	generators[v3.SecretType] = trusting{generators[v3.SecretType]}
	told := json.NewEncoder(os.Stdout)
	if err := told.Encode(map[string]any{"xds": listener.Addr().String(), "http": ports[0], "https": ports[1]}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var command command
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			return err
		}
		before := number(server.PushContext().PushVersion)
		if err := follow(server, command); err != nil {
			return err
		}
		if err := told.Encode(map[string]uint64{"before": before}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// number returns the number of a version, which is "time/number".
func number(version string) uint64 {
	number, err := strconv.ParseUint(version[strings.LastIndex(version, "/")+1:], 10, 64)
	if err != nil {
		return 0
	}
	return number
}

func follow(server *xds.FakeDiscoveryServer, command command) error {
	documents, err := read(command.Apply)
	if err != nil {
		return err
	}
	configs, _, err := split(documents)
	if err != nil {
		return err
	}
	for _, config := range configs {
		if _, err := server.Store().Update(config); err != nil {
			return err
		}
	}
	if command.Pods == nil {
		return nil
	}
	return replacePods(server.KubeClient().Kube(), *command.Pods)
}

// split returns istiod's own objects and the Services.
func split(documents []document) ([]config.Config, []runtime.Object, error) {
	var configs []config.Config
	var objects []runtime.Object
	for _, document := range documents {
		if schema, ok := document.istios(); ok {
			config, err := document.config(schema)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %s: %w", document.file, document.kind.Kind, err)
			}
			config.CreationTimestamp = time.Now()
			configs = append(configs, *config)
		} else if document.kind.Kind == "Service" {
			service := &corev1.Service{}
			if err := json.Unmarshal(document.json, service); err != nil {
				return nil, nil, err
			}
			service.Spec.ClusterIP = fmt.Sprintf("10.0.0.%d", len(objects)+1)
			objects = append(objects, service)
		}
	}
	return configs, objects, nil
}

func running(meta metav1.ObjectMeta, address string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: meta,
		Spec:       corev1.PodSpec{ServiceAccountName: "default", NodeName: "node"},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIP:      address,
			PodIPs:     []corev1.PodIP{{IP: address}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// replacePods makes the pods, and a slice of endpoints for each, what the command says.
func replacePods(client kubernetes.Interface, pods []pod) error {
	ctx := context.Background()
	slices := client.DiscoveryV1().EndpointSlices(namespace)
	for _, pod := range pods {
		meta := metav1.ObjectMeta{Name: pod.Name, Namespace: namespace, Labels: pod.Labels}
		if _, err := client.CoreV1().Pods(namespace).Get(ctx, pod.Name, metav1.GetOptions{}); err != nil {
			if _, err := client.CoreV1().Pods(namespace).Create(ctx, running(meta, pod.Address), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		slice := slice(pod)
		if _, err := slices.Get(ctx, slice.Name, metav1.GetOptions{}); err != nil {
			_, err = slices.Create(ctx, slice, metav1.CreateOptions{})
			if err != nil {
				return err
			}
		} else if _, err := slices.Update(ctx, slice, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func slice(pod pod) *discoveryv1.EndpointSlice {
	name, protocol, isReady := "http", corev1.ProtocolTCP, pod.Ready
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name:      "fanfare-" + pod.Name,
			Namespace: namespace,
			Labels:    map[string]string{discoveryv1.LabelServiceName: "fanfare"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{pod.Address},
			Conditions: discoveryv1.EndpointConditions{Ready: &isReady},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod.Name, Namespace: namespace},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &pod.Port, Protocol: &protocol}},
	}
}

// freePorts returns ports that nobody listens on.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		listener, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
