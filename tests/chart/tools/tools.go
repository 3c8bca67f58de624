//go:build tools

// Package tools pins the version of Helm that tests/chart/run builds.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
