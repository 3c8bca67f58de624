{{/* The container's resources, and the memory limit that follows from the settings. */}}

{{/* A whole number's setting: list root section key default. A variable of extraEnv wins, as it does in the worker. */}}
{{- define "chat-worker.number" -}}
{{- $root := index . 0 }}{{ $section := index . 1 }}{{ $key := index . 2 }}
{{- $value := dig $section $key (index . 3) ($root.Values | merge dict) }}
{{- with include "chat-worker.variable" (list $root (printf "CHATW__%s__%s" (upper $section) (upper $key))) }}{{ $value = . }}{{ end }}
{{- int64 $value }}
{{- end }}

{{/* The whole number that a variable of extraEnv gives, or nothing: list root name. */}}
{{- define "chat-worker.variable" -}}
{{- $name := index . 1 }}
{{- $found := "" }}
{{- range (index . 0).Values.extraEnv }}
{{- if eq .name $name }}
{{- if not (regexMatch "^[0-9]+$" (default "" .value)) }}{{ fail (printf "extraEnv: %s: the memory limit is computed from it, so it must be given as a value" $name) }}{{ end }}
{{- $found = .value }}
{{- end }}
{{- end }}
{{- $found }}
{{- end }}

{{/* What the worker may come to hold at the most, in MiB: the formula of docs/architecture.md, "Memory". */}}
{{- define "chat-worker.memoryMiB" -}}
{{- $engine := dig "worker" "engine" "threads" (.Values | merge dict) }}
{{- $jobs := include "chat-worker.number" (list . "worker" (ternary "in_flight" "threads" (eq $engine "loop")) 64) | int64 }}
{{- $buffered := include "chat-worker.number" (list . "worker" "buffered_bytes_max" 67108864) | int64 }}
{{- $job := include "chat-worker.number" (list . "worker" "job_bytes_max" 1048576) | int64 }}
{{- $response := include "chat-worker.number" (list . "llm" "response_bytes_max" 4194304) | int64 }}
{{- $history := include "chat-worker.number" (list . "llm" "history_bytes_max" 262144) | int64 }}
{{- $prefetch := div $buffered 8 }}
{{- with dig "properties" "queued.max.messages.kbytes" "" .Values.kafka }}{{ $prefetch = mul 1024 (int64 .) }}{{ end }}
{{- with include "chat-worker.variable" (list . "CHATW__KAFKA__QUEUED_MAX_MESSAGES_KBYTES") }}{{ $prefetch = mul 1024 (int64 .) }}{{ end }}
{{- $contexts := 0 }}
{{- range .Values.llm.contexts }}
{{- $contexts = add $contexts (dig . "bytes_max" 16384 ($.Values.contexts | merge dict) | int64) }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if regexMatch "^CHATW__(WORKER__ENGINE|LLM__CONTEXTS|CONTEXT__.*__BYTES_MAX)$" .name }}{{ fail (printf "extraEnv: %s: the memory limit is computed from it: give it as worker.engine, llm.contexts or contexts" .name) }}{{ end }}
{{- end }}
{{- $asked := mul (len .Values.providers) (add $job $history $response) }}
{{- $each := add 2097152 (mul 2 $history) $asked (mul 3 $response) (mul 2 $job) (mul 4 $contexts) }}
{{- $all := add 100663296 (mul 2 $prefetch) (mul 2 $buffered) (mul (add $jobs (div $jobs 8) 4) $each) }}
{{- div (add $all 1048575) 1048576 }}
{{- end }}

{{/* A quantity of Kubernetes in bytes: list name quantity. */}}
{{- define "chat-worker.bytes" -}}
{{- $quantity := index . 1 }}
{{- $text := kindIs "float64" $quantity | ternary (printf "%.0f" (float64 $quantity)) (toString $quantity) }}
{{- $unit := regexFind "[A-Za-z]*$" $text }}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 }}
{{- if not (and (regexMatch "^[0-9]+(\\.[0-9]+)?[A-Za-z]*$" $text) (hasKey $units $unit)) }}{{ fail (printf "%s: %s is no amount of memory: give it as 512Mi or 2Gi" (index . 0) $text) }}{{ end }}
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
{{- else if lt (include "chat-worker.bytes" (list "resources.limits.memory" $limits.memory) | int64) (mul $needed 1048576) }}
{{- fail (printf "resources.limits.memory: %v is less than the worker may come to need: raise it to %dMi, or lower worker.threads (worker.in_flight with worker.engine loop), worker.buffered_bytes_max, worker.job_bytes_max, llm.response_bytes_max or llm.history_bytes_max" $limits.memory $needed) }}
{{- end }}
{{- $limit := get (get $resources "limits") "memory" }}
{{- with dig "requests" "memory" "" $resources }}
{{- if gt (include "chat-worker.bytes" (list "resources.requests.memory" .) | int64) (include "chat-worker.bytes" (list "resources.limits.memory" $limit) | int64) }}
{{- fail (printf "resources.requests.memory: %v is more than resources.limits.memory, %v: no pod may ask for more than it may have" . $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}
