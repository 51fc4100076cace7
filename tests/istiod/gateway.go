package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/spiffe"
)

// gateway returns the ingress gateway: its pod is the Envoy that asks, its Service leads to ports of this machine, and its
// namespace has the certificate that our Gateway names.
func gateway(ports []int) ([]runtime.Object, error) {
	labels := map[string]string{"istio": "ingressgateway"}
	meta := metav1.ObjectMeta{Name: "gateway", Namespace: gatewayNamespace, Labels: labels}
	port := func(name string, number int32, target int) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromInt(target), Protocol: corev1.ProtocolTCP}
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector:  labels,
		ClusterIP: "10.0.1.1",
		Ports:     []corev1.ServicePort{port("http", 80, ports[0]), port("https", 443, ports[1])},
	}}
	secret, err := certificate()
	if err != nil {
		return nil, err
	}
	return []runtime.Object{service, running(meta, "127.0.0.1"), secret}, nil
}

// certificate returns the Secret with a new certificate that signs itself.
func certificate() (*corev1.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"fanfare.example.com"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "fanfare-tls", Namespace: gatewayNamespace},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	}, nil
}

// trusting tells Secrets to the gateway as if it had shown a certificate of the mesh: istiod tells them to no proxy without
// one, and here both speak in the clear.
type trusting struct{ model.XdsResourceGenerator }

func (t trusting) Generate(proxy *model.Proxy, watched *model.WatchedResource, request *model.PushRequest) (
	model.Resources, model.XdsLogDetails, error,
) {
	proxy.VerifiedIdentity = &spiffe.Identity{TrustDomain: domain, Namespace: gatewayNamespace, ServiceAccount: "default"}
	return t.XdsResourceGenerator.Generate(proxy, watched, request)
}
