{{/* chat-producer replay, as a Job and as what a CronJob makes. */}}

{{/* Its arguments, a JSON list. Kafka as the workers have it; a secret by its file. */}}
{{- define "chat-worker.replayArguments" -}}
{{- $replay := .Values.replay }}
{{- $arguments := list "replay" (printf "--bootstrap=%s" (index .Values.kafka.properties "bootstrap.servers")) (printf "--topic=%s" (default (default "chat.dead" .Values.worker.dead_topic) $replay.topic)) }}
{{- if $replay.execute }}{{ $arguments = append $arguments "--execute" }}{{ end }}
{{- with $replay.to }}{{ $arguments = append $arguments (printf "--to=%s" .) }}{{ end }}
{{- range $key := list "limit" "rate" }}
{{- with index $replay $key }}{{ $arguments = append $arguments (printf "--%s=%d" $key (int64 .)) }}{{ end }}
{{- end }}
{{- range $replay.letters }}{{ $arguments = append $arguments (printf "--letter=%s" .) }}{{ end }}
{{- range $key, $value := omit .Values.kafka.properties "bootstrap.servers" "group.id" }}
{{- $arguments = append $arguments (printf "--set=%s" (include "chat-worker.line" (list "kafka.properties" $key $value) | replace " = " "=")) }}
{{- end }}
{{- range (include "chat-worker.kafkaSecrets" . | fromJsonArray) }}
{{- $arguments = append $arguments (printf "--set=%s_file=%s/%s" (trimPrefix "kafka-" .) (include "chat-worker.secretPath" $) .) }}
{{- end }}
{{- $escaped := list }}
{{- range $arguments }}{{ $escaped = append $escaped (replace "$(" "$$(" .) }}{{ end }}
{{- toJson $escaped }}
{{- end }}

{{/* The Secret's keys that a client of Kafka needs, a JSON list. */}}
{{- define "chat-worker.kafkaSecrets" -}}
{{- $found := list }}
{{- range $key, $_ := include "chat-worker.secrets" . | fromJson }}
{{- if hasPrefix "kafka-" $key }}{{ $found = append $found $key }}{{ end }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{- define "chat-worker.replayJob" -}}
{{- $secrets := include "chat-worker.kafkaSecrets" . | fromJsonArray }}
{{- with .Values.replay }}
# A second try would begin behind the letters that the first one couldn't send, and pass: by default there is none.
backoffLimit: {{ int64 .backoffLimit }}
{{- range $key := list "activeDeadlineSeconds" "ttlSecondsAfterFinished" }}
{{- $value := index $.Values.replay $key }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ int64 $value }}
{{- end }}
{{- end }}
template:
  metadata:
    labels:
      {{- include "chat-worker.podLabels" (list $ "replay") | nindent 6 }}
  spec:
    {{- include "chat-worker.podBasis" $ | nindent 4 }}
    restartPolicy: Never
    # What chat-producer takes at the most, once it is told to end: longer than a transaction.
    terminationGracePeriodSeconds: 155
    containers:
      - name: replay
        {{- include "chat-worker.containerBasis" $ | nindent 8 }}
        command:
          {{- toYaml .command | nindent 10 }}
        args:
          {{- include "chat-worker.replayArguments" $ | fromJsonArray | toYaml | nindent 10 }}
        {{- with .resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- if or $secrets $.Values.extraVolumeMounts }}
        volumeMounts:
          {{- if $secrets }}
          - name: secrets
            mountPath: {{ include "chat-worker.secretPath" $ }}
            readOnly: true
          {{- end }}
          {{- with $.Values.extraVolumeMounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        {{- end }}
    {{- if or $secrets $.Values.extraVolumes }}
    volumes:
      {{- if $secrets }}
      - name: secrets
        secret:
          secretName: {{ include "chat-worker.secretName" $ }}
          defaultMode: 0440
          # The providers' keys are not for it.
          items:
            {{- range $secrets }}
            - key: {{ . }}
              path: {{ . }}
            {{- end }}
      {{- end }}
      {{- with $.Values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}
