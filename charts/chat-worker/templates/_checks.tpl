{{/* What can't be meant, or wouldn't run: each ends the rendering and says what to do. What concerns one value alone is in values.schema.json. */}}
{{- define "chat-worker.checks" -}}
{{- $scaling := .Values.autoscaling }}
{{- if and $scaling.hpa.enabled $scaling.keda.enabled }}
{{- fail "autoscaling.hpa and autoscaling.keda are both enabled: they would undo each other's number of pods (KEDA makes an HPA of its own); enable one of them" }}
{{- end }}
{{- if include "chat-worker.autoscaled" . }}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d" (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- if $scaling.hpa.enabled }}
{{- if eq (int64 $scaling.minReplicas) 0 }}{{ fail "autoscaling.minReplicas: 0: an HPA can't start again from none; give 1, or use autoscaling.keda" }}{{ end }}
{{- if not (or $scaling.hpa.cpuUtilization $scaling.hpa.metrics) }}
{{- fail "autoscaling.hpa: nothing to scale on: give cpuUtilization or metrics" }}
{{- end }}
{{- if and $scaling.hpa.cpuUtilization (not (dig "requests" "cpu" "" (default dict .Values.resources))) }}
{{- fail "autoscaling.hpa.cpuUtilization is a part of resources.requests.cpu, which isn't given: give it, or set cpuUtilization to null" }}
{{- end }}
{{- end }}
{{- if $scaling.keda.enabled }}
{{- if not $scaling.keda.triggers }}{{ fail "autoscaling.keda.triggers is empty: name what to scale on" }}{{ end }}
{{- include "chat-worker.mustHave" (list . "keda.sh/v1alpha1/ScaledObject" "autoscaling.keda" "KEDA") }}
{{- end }}
{{- if .Values.podMonitor.enabled }}
{{- include "chat-worker.mustHave" (list . "monitoring.coreos.com/v1/PodMonitor" "podMonitor" "the Prometheus operator") }}
{{- end }}
{{- if .Values.kafka.staticMembership }}
{{- if ne .Values.kind "StatefulSet" }}
{{- fail "kafka.staticMembership: a Deployment's pods have new names after each restart, so each would be a new member, and the old one's partitions would stand still until session.timeout.ms: set kind to StatefulSet" }}
{{- end }}
{{- if include "chat-worker.autoscaled" . }}
{{- fail "kafka.staticMembership: a static member that an autoscaler takes away doesn't leave its group, so its partitions would stand still until session.timeout.ms each time: disable the autoscaler or staticMembership" }}
{{- end }}
{{- end }}
{{- if and (eq .Values.kind "StatefulSet") (gt (len (include "chat-worker.fullname" .)) 52) }}
{{- fail (printf "%s is longer than the 52 characters that a StatefulSet's name may have: give a shorter fullnameOverride" (include "chat-worker.fullname" .)) }}
{{- end }}
{{- if and (eq .Values.kind "Deployment") (eq .Values.strategy.type "RollingUpdate") }}
{{- $rolling := default dict .Values.strategy.rollingUpdate }}
{{- if and (has (dig "maxSurge" "25%" $rolling | toString) (list "0" "0%")) (has (dig "maxUnavailable" "25%" $rolling | toString) (list "0" "0%")) }}
{{- fail "strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could be replaced: raise one of them" }}
{{- end }}
{{- end }}
{{- if and .Values.replay.enabled .Values.replay.letters .Values.replay.schedule }}
{{- fail "replay.letters: letters that are named are sent back whatever was replayed before, so a schedule would send them again and again: leave schedule empty" }}
{{- end }}
{{- end }}

{{/* list root group/version/kind value who-brings-it */}}
{{- define "chat-worker.mustHave" -}}
{{- if not ((index . 0).Capabilities.APIVersions.Has (index . 1)) }}
{{- fail (printf "%s.enabled: the cluster has no %s: install %s first, or disable %s (helm template doesn't ask a cluster: --api-versions %s says that it is there)" (index . 2) (index . 1) (index . 3) (index . 2) (index . 1)) }}
{{- end }}
{{- end }}
