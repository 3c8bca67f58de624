{{/* The workers' pod, and what a replay's and a check's pod have in common with it. */}}

{{/* Who a pod is and where it may run. A cluster that enforces PodSecurity `restricted` takes it. */}}
{{- define "chat-worker.podBasis" -}}
serviceAccountName: {{ include "chat-worker.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service's injected variables are none of the worker's settings.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 .Values.podSecurityContext.runAsUser }}
  runAsGroup: {{ int64 .Values.podSecurityContext.runAsGroup }}
  fsGroup: {{ int64 .Values.podSecurityContext.fsGroup }}
  seccompProfile:
    type: RuntimeDefault
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end }}

{{/* A container of ours. */}}
{{- define "chat-worker.containerBasis" -}}
image: {{ include "chat-worker.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* A container that reads worker.ini: list root further-variables. */}}
{{- define "chat-worker.workerContainer" -}}
{{- $root := index . 0 }}
{{- include "chat-worker.containerBasis" $root }}
{{- with $root.Values.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (default list $root.Values.extraEnv) (index . 1) }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $root.Values.resources }}
resources:
  {{- include "chat-worker.resources" $root | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: {{ include "chat-worker.configPath" $root }}
    readOnly: true
  - name: secrets
    mountPath: {{ include "chat-worker.secretPath" $root }}
    readOnly: true
  - name: state
    mountPath: /var/lib/chat-worker
  {{- with $root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The volumes of such a container. */}}
{{- define "chat-worker.workerVolumes" -}}
- name: config
  configMap:
    name: {{ include "chat-worker.fullname" . }}
- name: secrets
  secret:
    secretName: {{ include "chat-worker.secretName" . }}
    defaultMode: 0440
- name: state
  emptyDir:
    sizeLimit: 1Mi
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A pod's annotations. A PodMonitor stands in the place of the scrape annotations: both would count each pod twice. */}}
{{- define "chat-worker.podAnnotations" -}}
{{- $given := .Values.podAnnotations }}
{{- if .Values.podMonitor.enabled }}{{ $given = omit $given "prometheus.io/scrape" "prometheus.io/port" "prometheus.io/path" }}{{ end }}
{{- with $given }}
{{- toYaml . }}
{{ end -}}
checksum/config: {{ printf "%s\n%s\n%s" (include "chat-worker.config" .) (default "" .Values.llm.system_prompt) (default "" .Values.llm.context_prompt) | sha256sum }}
checksum/secret: {{ printf "%s\n%s" (include "chat-worker.secretName" .) (include "chat-worker.secrets" .) | sha256sum }}
{{- end }}

{{/* The workers' pods, of a Deployment and of a StatefulSet. */}}
{{- define "chat-worker.podTemplate" -}}
metadata:
  annotations:
    {{- include "chat-worker.podAnnotations" . | nindent 4 }}
  labels:
    {{- include "chat-worker.podLabels" (list . "worker") | nindent 4 }}
spec:
  {{- include "chat-worker.podBasis" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "chat-worker.graceSeconds" . }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml (hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" (include "chat-worker.workerLabels" $ | fromYaml))) .)) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - name: chat-worker
      {{- $member := list }}
      {{- if .Values.kafka.staticMembership }}
      {{- $member = list (dict "name" "CHATW__KAFKA__GROUP_INSTANCE_ID" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) }}
      {{- end }}
      {{- include "chat-worker.workerContainer" (list . $member) | nindent 6 }}
      args:
        - --config={{ include "chat-worker.configPath" . }}/worker.ini
      ports:
        - name: admin
          containerPort: {{ include "chat-worker.adminPort" . }}
      # Until it is there; the other two begin then.
      startupProbe:
        httpGet:
          path: /healthz
          port: admin
        periodSeconds: {{ include "chat-worker.startupPeriod" . }}
        timeoutSeconds: 3
        failureThreshold: {{ include "chat-worker.startupFailures" . }}
      livenessProbe:
        httpGet:
          path: /healthz
          port: admin
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "chat-worker.workerVolumes" . | nindent 4 }}
{{- end }}

{{/* What a Deployment and a StatefulSet have in common. */}}
{{- define "chat-worker.workload" -}}
metadata:
  name: {{ include "chat-worker.fullname" . }}
  labels:
    {{- include "chat-worker.labels" . | nindent 4 }}
  {{- with .Values.workloadAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if not (include "chat-worker.autoscaled" .) }}
  replicas: {{ int64 .Values.replicaCount }}
  {{- end }}
  {{- with .Values.minReadySeconds }}
  minReadySeconds: {{ int64 . }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "chat-worker.workerLabels" . | nindent 6 }}
  template:
    {{- include "chat-worker.podTemplate" . | nindent 4 }}
{{- end }}
