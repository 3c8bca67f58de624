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

{{- define "chat-worker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chat-worker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chat-worker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "chat-worker.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
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

{{- define "chat-worker.secretName" -}}
{{- default (include "chat-worker.fullname" .) .Values.existingSecret.name }}
{{- end }}

{{- define "chat-worker.secretPath" -}}/etc/chat-worker/secrets{{- end }}

{{/* A JSON object: the Secret's keys with their values (empty for existingSecret, where only the keys are known). */}}
{{- define "chat-worker.secrets" -}}
{{- $own := dict }}
{{- with .Values.redis.url }}{{ $_ := set $own "redis-url" . }}{{ end }}
{{- range $name, $provider := .Values.providers }}
{{- with $provider.api_key }}{{ $_ := set $own (printf "api-key-%s" $name) . }}{{ end }}
{{- if contains "@" (default "" $provider.proxy) }}{{ $_ := set $own (printf "proxy-%s" $name) $provider.proxy }}{{ end }}
{{- end }}
{{- range $name, $context := .Values.contexts }}
{{- with $context.api_key }}{{ $_ := set $own (printf "context-key-%s" $name) . }}{{ end }}
{{- if contains "@" (default "" $context.proxy) }}{{ $_ := set $own (printf "context-proxy-%s" $name) $context.proxy }}{{ end }}
{{- end }}
{{- range $name, $value := .Values.kafka.secrets }}{{ $_ := set $own (printf "kafka-%s" $name) $value }}{{ end }}
{{- $all := $own }}
{{- if .Values.existingSecret.name }}
{{- if $own }}{{ fail (printf "existingSecret.name and %s are both given: put the secret into the one or the other" (keys $own | sortAlpha | join ", ")) }}{{ end }}
{{- if not .Values.existingSecret.keys }}{{ fail "existingSecret.keys is empty: name the keys to read" }}{{ end }}
{{- $all = dict }}
{{- range .Values.existingSecret.keys }}{{ $_ := set $all . "" }}{{ end }}
{{- else if .Values.existingSecret.keys }}{{ fail "existingSecret.keys is given without existingSecret.name" }}
{{- end }}
{{- if not (hasKey $all "redis-url") }}{{ fail "redis.url is needed, or the key redis-url in existingSecret.keys" }}{{ end }}
{{- range $key, $_ := $all }}
{{- if and (hasPrefix "api-key-" $key) (not (hasKey $.Values.providers (trimPrefix "api-key-" $key))) }}{{ fail (printf "existingSecret.keys: %s: there is no such provider" $key) }}{{ end }}
{{- if and (hasPrefix "proxy-" $key) (not (hasKey $.Values.providers (trimPrefix "proxy-" $key))) }}{{ fail (printf "existingSecret.keys: %s: there is no such provider" $key) }}{{ end }}
{{- if and (hasPrefix "context-proxy-" $key) (not (hasKey $.Values.contexts (trimPrefix "context-proxy-" $key))) }}{{ fail (printf "existingSecret.keys: %s: there is no such context" $key) }}{{ end }}
{{- if and (hasPrefix "context-key-" $key) (not (hasKey $.Values.contexts (trimPrefix "context-key-" $key))) }}{{ fail (printf "existingSecret.keys: %s: there is no such context" $key) }}{{ end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/* One line of the settings file: list section key value. Numbers come from YAML as floats. */}}
{{- define "chat-worker.line" -}}
{{- $section := index . 0 }}{{ $key := index . 1 }}{{ $value := index . 2 }}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}
{{- else if kindIs "map" $value }}{{ $value = mustToRawJson $value }}
{{- else if kindIs "float64" $value }}{{ $value = int64 $value }}
{{- end }}
{{- $line := printf "%s = %s" $key (toString $value) }}
{{- if regexMatch "[\r\n]|\\s;" $line }}{{ fail (printf "%s.%s: a line break or a ; after a space can't stand in the settings file: use extraEnv" $section $key) }}{{ end }}
{{- if gt (len $line) 198 }}{{ fail (printf "%s.%s: the line is longer than 198 bytes: use extraEnv with CHATW__SECTION__KEY" $section $key) }}{{ end }}
{{- $line }}
{{- end }}

{{/* worker.ini */}}
{{- define "chat-worker.config" -}}
{{- $secrets := include "chat-worker.secrets" . | fromJson }}
{{- $path := include "chat-worker.secretPath" . }}
[kafka]
{{- range $key, $value := .Values.kafka.properties }}
{{ include "chat-worker.line" (list "kafka.properties" $key $value) }}
{{- end }}
{{- range $key, $_ := $secrets }}
{{- if hasPrefix "kafka-" $key }}
{{ trimPrefix "kafka-" $key }}_file = {{ $path }}/{{ $key }}
{{- end }}
{{- end }}

[worker]
{{- range $key, $value := .Values.worker }}
{{ include "chat-worker.line" (list "worker" $key $value) }}
{{- end }}

[redis]
url_file = {{ $path }}/redis-url
{{- range $key, $value := omit .Values.redis "url" }}
{{ include "chat-worker.line" (list "redis" $key $value) }}
{{- end }}

[llm]
{{- range .Values.llm.providers }}
{{- if not (hasKey $.Values.providers .) }}{{ fail (printf "llm.providers: %s is not among providers" .) }}{{ end }}
{{- end }}
{{- range .Values.llm.contexts }}
{{- if not (hasKey $.Values.contexts .) }}{{ fail (printf "llm.contexts: %s is not among contexts" .) }}{{ end }}
{{- end }}
{{- range $key := list "overflow_provider" "filter_provider" }}
{{- with index $.Values.llm $key }}
{{- if not (hasKey $.Values.providers .) }}{{ fail (printf "llm.%s: %s is not among providers" $key .) }}{{ end }}
{{- end }}
{{- end }}
{{- range $key, $value := omit .Values.llm "system_prompt" "context_prompt" }}
{{ include "chat-worker.line" (list "llm" $key $value) }}
{{- end }}
{{- with .Values.llm.system_prompt }}
system_prompt_file = /etc/chat-worker/config/system-prompt
{{- end }}
{{- with .Values.llm.context_prompt }}
context_prompt_file = /etc/chat-worker/config/context-prompt
{{- end }}
{{- range $name, $provider := .Values.providers }}

[provider.{{ $name }}]
{{- $hidden := hasKey $secrets (printf "proxy-%s" $name) | ternary (list "api_key" "proxy") (list "api_key") }}
{{- range $key, $value := $provider }}
{{- if not (has $key $hidden) }}
{{ include "chat-worker.line" (list (printf "providers.%s" $name) $key $value) }}
{{- end }}
{{- end }}
{{- if hasKey $secrets (printf "proxy-%s" $name) }}
proxy_file = {{ $path }}/proxy-{{ $name }}
{{- end }}
{{- if hasKey $secrets (printf "api-key-%s" $name) }}
api_key_file = {{ $path }}/api-key-{{ $name }}
{{- end }}
{{- end }}
{{- range $name, $context := .Values.contexts }}

[context.{{ $name }}]
{{- $hidden := hasKey $secrets (printf "context-proxy-%s" $name) | ternary (list "api_key" "proxy") (list "api_key") }}
{{- range $key, $value := $context }}
{{- if not (has $key $hidden) }}
{{ include "chat-worker.line" (list (printf "contexts.%s" $name) $key $value) }}
{{- end }}
{{- end }}
{{- if hasKey $secrets (printf "context-proxy-%s" $name) }}
proxy_file = {{ $path }}/context-proxy-{{ $name }}
{{- end }}
{{- if hasKey $secrets (printf "context-key-%s" $name) }}
api_key_file = {{ $path }}/context-key-{{ $name }}
{{- end }}
{{- end }}

[retry]
{{- range $key, $value := .Values.retry }}
{{ include "chat-worker.line" (list "retry" $key $value) }}
{{- end }}

[admin]
listen = 0.0.0.0:9464

[log]
{{- range $key, $value := .Values.log }}
{{ include "chat-worker.line" (list "log" $key $value) }}
{{- end }}
{{- end }}
