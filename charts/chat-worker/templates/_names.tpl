{{/* What things are called: names, labels, the image. */}}

{{- define "chat-worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "chat-worker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "chat-worker.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "chat-worker.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Of everything that the release has. */}}
{{- define "chat-worker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chat-worker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the workers' pods alone: a budget, a monitor and a spread constraint must not count a replay's pod. */}}
{{- define "chat-worker.workerLabels" -}}
{{ include "chat-worker.selectorLabels" . }}
app.kubernetes.io/component: worker
{{- end }}

{{/* The chart's own labels; they win over commonLabels and podLabels, since selectors are made of them. */}}
{{- define "chat-worker.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "chat-worker.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* An object's labels. */}}
{{- define "chat-worker.labels" -}}
{{- merge (include "chat-worker.ownLabels" . | fromYaml) (default dict .Values.commonLabels) | toYaml }}
{{- end }}

{{/* A pod's labels: list root component. */}}
{{- define "chat-worker.podLabels" -}}
{{- $root := index . 0 }}
{{- $own := merge (dict "app.kubernetes.io/component" (index . 1)) (include "chat-worker.ownLabels" $root | fromYaml) }}
{{- merge $own (default dict $root.Values.podLabels) (default dict $root.Values.commonLabels) | toYaml }}
{{- end }}

{{- define "chat-worker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "chat-worker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "chat-worker.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The release's name with a suffix, cut to what the kind allows: list root suffix length. */}}
{{- define "chat-worker.suffixed" -}}
{{- $room := sub (index . 2) (len (index . 1) | add 1) | int }}
{{- printf "%s-%s" (include "chat-worker.fullname" (index . 0) | trunc $room | trimSuffix "-") (index . 1) }}
{{- end }}

{{/* True: an autoscaler says how many pods there are. */}}
{{- define "chat-worker.autoscaled" -}}
{{- if or .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled }}true{{ end }}
{{- end }}

{{/* What an autoscaler scales. */}}
{{- define "chat-worker.scaleTarget" -}}
apiVersion: apps/v1
kind: {{ .Values.kind }}
name: {{ include "chat-worker.fullname" . }}
{{- end }}
