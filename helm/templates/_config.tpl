{{/* The program's configuration: what the chart sets, and `config` of the values over it. */}}

{{- define "firstfault.folder" -}}/etc/firstfault{{- end -}}
{{- define "firstfault.data" -}}/var/lib/firstfault{{- end -}}

{{/* Files of a door's certificate: [values of the door, folder]. */}}
{{- define "firstfault.doorFiles" -}}
{{- $files := dict "cert_file" (printf "%s/tls.crt" (index . 1)) "key_file" (printf "%s/tls.key" (index . 1)) -}}
{{- if (index . 0).clientAuth -}}{{- $_ := set $files "client_ca_file" (printf "%s/ca.crt" (index . 1)) -}}{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* `config` of the values, without sections that are null: they are switched off. */}}
{{- define "firstfault.given" -}}
{{- $given := deepCopy (default dict .Values.config) -}}
{{- range $section, $parts := dict "exporters" (list "otlp") "auth" (list "basic" "oidc") -}}
{{- range $part := $parts -}}
{{- with get $given $section -}}
{{- if not (get . $part) -}}{{- $_ := unset . $part -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{- define "firstfault.config" -}}
{{- $folder := include "firstfault.folder" . -}}
{{- $given := include "firstfault.given" . | fromYaml -}}
{{- $grpc := dict "endpoint" "0.0.0.0:4317" -}}
{{- $http := dict "endpoint" "0.0.0.0:4318" -}}
{{- with .Values.tls.receivers -}}
{{- if .existingSecret -}}
{{- $files := include "firstfault.doorFiles" (list . (printf "%s/tls/receivers" $folder)) -}}
{{- $_ := set $grpc "tls" (fromYaml $files) -}}
{{- $_ := set $http "tls" (fromYaml $files) -}}
{{- end -}}
{{- end -}}
{{- $query := dict "endpoint" "0.0.0.0:8080" "grpc_endpoint" "0.0.0.0:9317" -}}
{{- with .Values.tls.query -}}
{{- if .existingSecret -}}
{{- $_ := set $query "tls" (fromYaml (include "firstfault.doorFiles" (list . (printf "%s/tls/query" $folder)))) -}}
{{- end -}}
{{- end -}}
{{- if include "firstfault.many" . -}}
{{- $port := include "firstfault.port" (dig "query" "endpoint" "0.0.0.0:8080" $given) -}}
{{- $name := include "firstfault.fqdn" (list . (include "firstfault.headless" .)) -}}
{{- $peers := dict "dns" $name "port" (int $port) "timeout_s" 0.5 -}}
{{- if .Values.tls.query.existingSecret -}}
{{- $_ := set $peers "insecure" false -}}
{{- $_ := set $peers "ca_file" (printf "%s/tls/query/ca.crt" $folder) -}}
{{- $_ := set $peers "server_name_override" (include "firstfault.fqdn" (list . (include "firstfault.fullname" .))) -}}
{{- end -}}
{{- $_ := set $query "peers" $peers -}}
{{- end -}}
{{- $service := dict "health" (dict "endpoint" "0.0.0.0:13133") "telemetry" (dict "metrics" (dict "endpoint" "0.0.0.0:8888")) -}}
{{- $set := dict
  "receivers" (dict "otlp" (dict "protocols" (dict "grpc" $grpc "http" $http)))
  "query" $query
  "service" $service
  "storage" (dict "path" (include "firstfault.data" .)) -}}
{{- if dig "exporters" "otlp" "endpoint" "" $given -}}
{{- $exporter := dict -}}
{{- if .Values.exporterHeaders.existingSecret -}}
{{- $headers := dict -}}
{{- range $header, $key := .Values.exporterHeaders.keys -}}
{{- $_ := set $headers $header (printf "${file:%s/exporter-headers/%s}" $folder $key) -}}
{{- end -}}
{{- $_ := set $exporter "headers" $headers -}}
{{- end -}}
{{- with .Values.tls.exporter -}}
{{- if .existingSecret -}}
{{- $_ := set $exporter "insecure" false -}}
{{- $_ := set $exporter "ca_file" (printf "%s/tls/exporter/ca.crt" $folder) -}}
{{- if .clientAuth -}}
{{- $_ := set $exporter "cert_file" (printf "%s/tls/exporter/tls.crt" $folder) -}}
{{- $_ := set $exporter "key_file" (printf "%s/tls/exporter/tls.key" $folder) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $set "exporters" (dict "otlp" $exporter) -}}
{{- end -}}
{{- $config := mergeOverwrite $set $given -}}
{{- if and (not (hasKey $config.service "insecure")) (include "firstfault.open" $config) -}}
{{- $_ := set $config.service "insecure" true -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Doors of a configuration that ask for nothing, or for credentials in plain text, as the program judges them; empty: all
are shut. */}}
{{- define "firstfault.open" -}}
{{- $config := . -}}
{{- $protocols := $config.receivers.otlp.protocols -}}
{{- $auth := default dict $config.auth -}}
{{- $known := or $auth.bearer $auth.basic $auth.oidc -}}
{{- $open := list -}}
{{- range $key, $door := dict
  "config.receivers.otlp.protocols.grpc" (list $protocols.grpc (dig "receivers" true $auth))
  "config.receivers.otlp.protocols.http" (list $protocols.http (dig "receivers" true $auth))
  "config.query" (list $config.query (dig "query" true $auth)) -}}
{{- $section := first $door -}}
{{- $tls := default dict $section.tls -}}
{{- $asked := or (and $known (last $door)) $tls.client_ca_file -}}
{{- if and (dig "enabled" true $section) (not (and $tls $asked)) -}}{{- $open = append $open $key -}}{{- end -}}
{{- end -}}
{{- join ", " $open -}}
{{- end -}}

{{/* Port of an endpoint, as text. */}}
{{- define "firstfault.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* Ports of the server by name, as YAML; what is switched off is not there. */}}
{{- define "firstfault.ports" -}}
{{- $config := include "firstfault.config" . | fromYaml -}}
{{- $protocols := $config.receivers.otlp.protocols -}}
{{- $ports := dict -}}
{{- if dig "enabled" true $protocols.grpc -}}{{- $_ := set $ports "otlp-grpc" $protocols.grpc.endpoint -}}{{- end -}}
{{- if dig "enabled" true $protocols.http -}}{{- $_ := set $ports "otlp-http" $protocols.http.endpoint -}}{{- end -}}
{{- $_ := set $ports "query" $config.query.endpoint -}}
{{- $_ := set $ports "query-grpc" $config.query.grpc_endpoint -}}
{{- $_ := set $ports "metrics" $config.service.telemetry.metrics.endpoint -}}
{{- $_ := set $ports "health" $config.service.health.endpoint -}}
{{- range $name, $endpoint := $ports }}
{{ $name }}: {{ include "firstfault.port" $endpoint }}
{{- end }}
{{- end -}}

{{/* What a port speaks, for meshes and load balancers: [root, name]. */}}
{{- define "firstfault.appProtocol" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $tls := ternary $root.Values.tls.query.existingSecret $root.Values.tls.receivers.existingSecret (hasPrefix "query" $name) -}}
{{- if hasSuffix "grpc" $name -}}{{ ternary "https" "grpc" (not (empty $tls)) }}
{{- else -}}{{ ternary "https" "http" (not (empty $tls)) }}
{{- end -}}
{{- end -}}
