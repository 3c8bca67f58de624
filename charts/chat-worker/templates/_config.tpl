{{/* worker.ini, from the values. */}}

{{- define "chat-worker.configPath" -}}/etc/chat-worker/config{{- end }}

{{- define "chat-worker.adminPort" -}}9464{{- end }}

{{/* All addresses, IPv6 and IPv4: a kubelet asks at the pod's first one, whichever that is. */}}
{{- define "chat-worker.listen" -}}[::]:{{ include "chat-worker.adminPort" . }}{{- end }}

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
system_prompt_file = {{ include "chat-worker.configPath" . }}/system-prompt
{{- end }}
{{- with .Values.llm.context_prompt }}
context_prompt_file = {{ include "chat-worker.configPath" . }}/context-prompt
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
listen = {{ include "chat-worker.listen" . }}
{{- if hasKey $secrets "admin-token" }}
token_file = {{ $path }}/admin-token
{{- end }}

[log]
{{- range $key, $value := .Values.log }}
{{ include "chat-worker.line" (list "log" $key $value) }}
{{- end }}
{{- end }}
