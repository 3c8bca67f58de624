{{/* One rule of egress: list name {to, cidrs, ports} protocols. Without an address, all that listen on these ports. */}}
{{- define "chat-worker.egressRule" -}}
{{- $name := index . 0 }}{{ $rule := index . 1 }}{{ $protocols := index . 2 }}
{{- $peers := default list $rule.to }}
{{- range $rule.cidrs }}
{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)/[0-9]{1,3}$" .) }}
{{- fail (printf "networkPolicy.%s.cidrs: %s is no range of addresses as 10.0.0.0/8 or fd00::/8: a NetworkPolicy can't name hosts; give the addresses, or use a policy of the cluster's network that knows names (Cilium's toFQDNs, say) by extraObjects" $name .) }}
{{- end }}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) }}
{{- end }}
{{- if not $rule.ports }}{{ fail (printf "networkPolicy.%s.ports is empty: name the ports, or set networkPolicy.%s to null to leave the rule out" $name $name) }}{{ end }}
{{- $ports := list }}
{{- range $port := $rule.ports }}
{{- range $protocols }}{{ $ports = append $ports (dict "protocol" . "port" (int64 $port)) }}{{ end }}
{{- end }}
{{- $made := dict "ports" $ports }}
{{- with $peers }}{{ $_ := set $made "to" . }}{{ end }}
{{- list $made | toYaml }}
{{- end }}
