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
{{- with $provider.headers }}{{ $_ := set $own (printf "headers-%s" $name) (mustToRawJson .) }}{{ end }}
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
{{- if and (hasPrefix "headers-" $key) (not (hasKey $.Values.providers (trimPrefix "headers-" $key))) }}{{ fail (printf "existingSecret.keys: %s: there is no such provider" $key) }}{{ end }}
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
{{- $hidden := hasKey $secrets (printf "proxy-%s" $name) | ternary (list "api_key" "headers" "proxy") (list "api_key" "headers") }}
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
{{- if hasKey $secrets (printf "headers-%s" $name) }}
headers_file = {{ $path }}/headers-{{ $name }}
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

{{/* A whole number's setting: list root section key default. A variable of extraEnv wins, as it does in the worker. */}}
{{- define "chat-worker.number" -}}
{{- $root := index . 0 }}{{ $section := index . 1 }}{{ $key := index . 2 }}
{{- $value := dig $section $key (index . 3) ($root.Values | merge dict) }}
{{- $variable := printf "CHATW__%s__%s" (upper $section) (upper $key) }}
{{- range $root.Values.extraEnv }}
{{- if eq .name $variable }}
{{- if not (regexMatch "^[0-9]+$" (default "" .value)) }}{{ fail (printf "extraEnv: %s: the memory limit is computed from it, so it must be given as a value" $variable) }}{{ end }}
{{- $value = .value }}
{{- end }}
{{- end }}
{{- int64 $value }}
{{- end }}

{{/* What the worker may come to hold at the most, in MiB: the formula of docs/architecture.md, "Memory". */}}
{{- define "chat-worker.memoryMiB" -}}
{{- $threads := include "chat-worker.number" (list . "worker" "threads" 64) | int64 }}
{{- $buffered := include "chat-worker.number" (list . "worker" "buffered_bytes_max" 67108864) | int64 }}
{{- $job := include "chat-worker.number" (list . "worker" "job_bytes_max" 1048576) | int64 }}
{{- $response := include "chat-worker.number" (list . "llm" "response_bytes_max" 4194304) | int64 }}
{{- $history := include "chat-worker.number" (list . "llm" "history_bytes_max" 262144) | int64 }}
{{- $prefetch := div $buffered 8 }}
{{- with dig "properties" "queued.max.messages.kbytes" "" .Values.kafka }}{{ $prefetch = mul 1024 (int64 .) }}{{ end }}
{{- $contexts := 0 }}
{{- range .Values.llm.contexts }}
{{- $contexts = add $contexts (dig . "bytes_max" 16384 ($.Values.contexts | merge dict) | int64) }}
{{- end }}
{{- $asked := mul (len .Values.providers) (add $job $history $response) }}
{{- $each := add 2097152 (mul 2 $history) $asked (mul 3 $response) (mul 2 $job) (mul 4 $contexts) }}
{{- $all := add 100663296 (mul 2 $prefetch) (mul 2 $buffered) (mul (add $threads (div $threads 8) 4) $each) }}
{{- div (add $all 1048575) 1048576 }}
{{- end }}

{{/* A quantity of Kubernetes in bytes. */}}
{{- define "chat-worker.bytes" -}}
{{- $text := kindIs "float64" . | ternary (printf "%.0f" (float64 .)) (toString .) }}
{{- $unit := regexFind "[A-Za-z]*$" $text }}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 }}
{{- if not (and (regexMatch "^[0-9]+(\\.[0-9]+)?[A-Za-z]*$" $text) (hasKey $units $unit)) }}{{ fail (printf "resources.limits.memory: %s is no amount of memory: give it as 512Mi or 2Gi" $text) }}{{ end }}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 }}
{{- end }}

{{/* The container's resources: with limits, but without one of memory, that is what the worker may come to hold. */}}
{{- define "chat-worker.resources" -}}
{{- $resources := deepCopy .Values.resources }}
{{- if hasKey $resources "limits" }}
{{- $needed := include "chat-worker.memoryMiB" . | int64 }}
{{- $limits := default dict $resources.limits }}
{{- if not (hasKey $limits "memory") }}
{{- $_ := set $resources "limits" (set $limits "memory" (printf "%dMi" $needed)) }}
{{- else if lt (include "chat-worker.bytes" $limits.memory | int64) (mul $needed 1048576) }}
{{- fail (printf "resources.limits.memory: %v is less than the worker may come to need: raise it to %dMi, or lower worker.threads, worker.buffered_bytes_max, worker.job_bytes_max, llm.response_bytes_max or llm.history_bytes_max" $limits.memory $needed) }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}
