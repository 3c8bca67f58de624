//go:build tools

// Package tools pins the versions of what tests/lib/setup.sh builds for the chart's tests: Helm, and for those on a real API
// server Kubernetes' control plane, etcd, kubectl, and kwok, which plays the nodes.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "helm.sh/helm/v4/cmd/helm"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
