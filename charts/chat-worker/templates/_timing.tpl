{{/* How long pods take to start and to end, in seconds; each is a bound, not what is usual. */}}

{{/* The drain's time, what may follow it (worker.close_timeout_ms), and a second. */}}
{{- define "chat-worker.graceSeconds" -}}
{{- add (div (add (int64 .Values.worker.drain_timeout_ms) 999) 1000) (div (add (int64 (default 14000 .Values.worker.close_timeout_ms)) 999) 1000) 1 }}
{{- end }}

{{- define "chat-worker.startupPeriod" -}}5{{- end }}

{{/* At most as long as the worker waits for Kafka and Redis, and 60 s. */}}
{{- define "chat-worker.startupFailures" -}}
{{- $period := include "chat-worker.startupPeriod" . | int64 }}
{{- add (div (add (div (add (int64 .Values.worker.startup_wait_ms) 999) 1000) $period -1) $period) (div 60 $period) }}
{{- end }}

{{/* From a container's start until its pod counts as available. */}}
{{- define "chat-worker.availableSeconds" -}}
{{- add (mul (include "chat-worker.startupPeriod" . | int64) (include "chat-worker.startupFailures" . | int64)) (int64 .Values.minReadySeconds) }}
{{- end }}

{{/* How many pods there may be. */}}
{{- define "chat-worker.podsMax" -}}
{{- if include "chat-worker.autoscaled" . }}{{ int64 .Values.autoscaling.maxReplicas }}{{ else }}{{ int64 .Values.replicaCount }}{{ end }}
{{- end }}

{{/* A number of pods, or a percentage of all of them: list value pods rounding. */}}
{{- define "chat-worker.podsOf" -}}
{{- $value := index . 0 }}
{{- if kindIs "string" $value }}
{{- div (add (mul (trimSuffix "%" $value | int64) (index . 1)) (index . 2)) 100 }}
{{- else }}
{{- int64 $value }}
{{- end }}
{{- end }}

{{/* Pods that a roll-out replaces at a time; 0: all, after they have ended. */}}
{{- define "chat-worker.rolloutStep" -}}
{{- if eq .Values.kind "StatefulSet" }}1
{{- else if eq .Values.strategy.type "Recreate" }}0
{{- else }}
{{- $pods := include "chat-worker.podsMax" . | int64 }}
{{- $rolling := default dict .Values.strategy.rollingUpdate }}
{{- $surge := include "chat-worker.podsOf" (list (dig "maxSurge" "25%" $rolling) $pods 99) | int64 }}
{{- $unavailable := include "chat-worker.podsOf" (list (dig "maxUnavailable" "25%" $rolling) $pods 0) | int64 }}
{{- max 1 (add $surge $unavailable) }}
{{- end }}
{{- end }}

{{/* What `--timeout` must allow. Only a surge of a Deployment starts before the old pod has ended; where the nodes have no room for one, it doesn't either:
     so each step counts both. */}}
{{- define "chat-worker.rolloutSeconds" -}}
{{- $step := include "chat-worker.rolloutStep" . | int64 }}
{{- $pods := include "chat-worker.podsMax" . | int64 }}
{{- $steps := eq $step 0 | ternary 1 (div (sub (add $pods $step) 1) (max 1 $step)) | max 1 }}
{{- mul $steps (add (include "chat-worker.availableSeconds" . | int64) (include "chat-worker.graceSeconds" . | int64)) }}
{{- end }}
