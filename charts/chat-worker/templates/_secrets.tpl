{{/* Which secrets there are, and where they are mounted. */}}

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
{{- with .Values.admin.token }}{{ $_ := set $own "admin-token" . }}{{ end }}
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
