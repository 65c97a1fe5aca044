// The CustomResourceDefinitions that the tests of the chart install, copied by tests/servers/go/build.
module workflow-manager.test/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
