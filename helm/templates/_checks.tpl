{{/* What a schema cannot see: values that do not fit one another. Each fault is told with what to do. */}}

{{/* Bytes of a quantity such as 16Gi or 500M, as text; empty when it is written in another way. */}}
{{- define "firstfault.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" $text -}}
{{- $unit := regexFind "[kKMGTi]+$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (index $units $unit) | int64 -}}
{{- end -}}
{{- end -}}

{{- define "firstfault.check" -}}
{{- $values := .Values -}}
{{- $config := include "firstfault.config" . | fromYaml -}}
{{- $faults := list -}}

{{- $seen := dict -}}
{{- $protocols := $config.receivers.otlp.protocols -}}
{{- range $key, $endpoint := dict
  "receivers.otlp.protocols.grpc.endpoint" $protocols.grpc.endpoint
  "receivers.otlp.protocols.http.endpoint" $protocols.http.endpoint
  "query.endpoint" $config.query.endpoint
  "query.grpc_endpoint" $config.query.grpc_endpoint
  "service.health.endpoint" $config.service.health.endpoint
  "service.telemetry.metrics.endpoint" $config.service.telemetry.metrics.endpoint -}}
{{- if not (regexMatch "^[^$]+:[0-9]+$" (toString $endpoint)) -}}
{{- $faults = append $faults (printf "config.%s is %v; expected for example 0.0.0.0:4317: services and probes need the number" $key $endpoint) -}}
{{- else if regexMatch "^(127\\.|localhost:|\\[::1\\])" $endpoint -}}
{{- $faults = append $faults (printf "config.%s is %s; expected 0.0.0.0: nobody outside the pod reaches loopback" $key $endpoint) -}}
{{- else -}}
{{- $port := include "firstfault.port" $endpoint -}}
{{- with get $seen $port -}}
{{- $faults = append $faults (printf "config.%s has port %s as config.%s has; expected a port for each" $key $port .) -}}
{{- end -}}
{{- $_ := set $seen $port $key -}}
{{- end -}}
{{- end -}}

{{- $open := include "firstfault.open" $config -}}
{{- if and $open (not (dig "insecure" false $config.service)) -}}
{{- $faults = append $faults (printf "config.service.insecure is false and without TLS or credentials are %s; expected tls.receivers and tls.query with config.auth or clientAuth, or config.service.insecure: true: the program would refuse to start" $open) -}}
{{- end -}}

{{- $data := include "firstfault.data" . -}}
{{- if not (or (eq $config.storage.path $data) (hasPrefix (printf "%s/" $data) $config.storage.path)) -}}
{{- $faults = append $faults (printf "config.storage.path is %s; expected %s or below it: all else is read-only" $config.storage.path $data) -}}
{{- end -}}

{{- $stop := add (int $values.preStopSeconds) (dig "stop_timeout_s" 10 $config.service | ceil | int) -}}
{{- if le (int $values.terminationGracePeriodSeconds) (int $stop) -}}
{{- $faults = append $faults (printf "terminationGracePeriodSeconds is %d; expected more than %d, which is preStopSeconds and config.service.stop_timeout_s: the rest of a stop would be cut off" (int $values.terminationGracePeriodSeconds) (int $stop)) -}}
{{- end -}}

{{- $size := include "firstfault.bytes" $values.persistence.size -}}
{{- $store := dig "bytes_max" 10737418240 $config.storage -}}
{{- if and $values.persistence.enabled $size -}}
{{- if gt (float64 $store) (mulf 0.9 (float64 $size)) -}}
{{- $faults = append $faults (printf "config.storage.bytes_max is %d and persistence.size %s; expected 90 %% of it at most, or the volume is full before retention acts" (int64 $store) $values.persistence.size) -}}
{{- end -}}
{{- end -}}

{{- $limit := include "firstfault.bytes" (dig "limits" "memory" "" (default dict $values.resources)) -}}
{{- $memory := default 0 (dig "assembly" "memory_bytes_max" 0 $config) -}}
{{- if $limit -}}
{{- if gt (mulf 2 (float64 $memory)) (float64 $limit) -}}
{{- $faults = append $faults (printf "config.assembly.memory_bytes_max is %d and resources.limits.memory %s; expected half of it at most, or the kernel ends the container before the program refuses" (int64 $memory) $values.resources.limits.memory) -}}
{{- end -}}
{{- end -}}

{{- $exporter := dig "exporters" "otlp" dict $config -}}
{{- $endpoint := dig "endpoint" "" $exporter -}}
{{- if and $values.exporterHeaders.existingSecret (not $endpoint) -}}
{{- $faults = append $faults "exporterHeaders.existingSecret is given and config.exporters.otlp.endpoint is not; expected both, or neither" -}}
{{- end -}}
{{- if and $values.exporterHeaders.existingSecret (not $values.exporterHeaders.keys) -}}
{{- $faults = append $faults "exporterHeaders.keys is empty; expected header names and keys of the secret, as {authorization: token}" -}}
{{- end -}}
{{- if and $values.tls.exporter.existingSecret (not $endpoint) -}}
{{- $faults = append $faults "tls.exporter.existingSecret is given and config.exporters.otlp.endpoint is not; expected both, or neither" -}}
{{- end -}}
{{- range $header, $value := dig "headers" dict $exporter -}}
{{- if and (regexMatch "(?i)auth|key|token|secret|cookie|password" $header) (not (contains "${" $value)) -}}
{{- $faults = append $faults (printf "config.exporters.otlp.headers.%s stands in the values; expected exporterHeaders, or ${env:NAME} with extraEnvs: a ConfigMap is no place for secrets" $header) -}}
{{- end -}}
{{- end -}}
{{- $host := regexReplaceAll ":[0-9]+$" $endpoint "" -}}
{{- range $own := list (include "firstfault.fullname" .) (include "firstfault.headless" .) (include "firstfault.gateway" .) -}}
{{- if or (eq $host $own) (hasPrefix (printf "%s.%s" $own $.Release.Namespace) $host) -}}
{{- $faults = append $faults (printf "config.exporters.otlp.endpoint is %s; expected a backend: this is firstfault itself" $endpoint) -}}
{{- end -}}
{{- end -}}

{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) -}}
{{- $faults = append $faults (printf "autoscaling.minReplicas is %d; expected %d, autoscaling.maxReplicas, at most" (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if eq $values.probes.readiness.type "grpc" -}}
{{- if or $values.tls.receivers.existingSecret (not (dig "enabled" true $protocols.grpc)) -}}
{{- $faults = append $faults "probes.readiness.type is grpc; expected http: the kubelet asks over gRPC without TLS, on the port of OTLP/gRPC" -}}
{{- end -}}
{{- end -}}
{{- if and (or (and $values.tls.receivers.existingSecret $values.tls.receivers.clientAuth) (and $values.tls.query.existingSecret $values.tls.query.clientAuth)) (or $values.gateway.enabled $values.test.enabled) (not $values.tls.client.existingSecret) -}}
{{- $faults = append $faults "clientAuth asks for certificates and tls.client.existingSecret is empty; expected a secret that gateway and test can show, or test.enabled: false" -}}
{{- end -}}
{{- if and (or $values.gateway.enabled $values.test.enabled) (not (dig "enabled" true $protocols.grpc)) -}}
{{- $faults = append $faults "config.receivers.otlp.protocols.grpc.enabled is false; expected true: gateway and test send over it" -}}
{{- end -}}
{{- if include "firstfault.many" . -}}
{{- $auth := dig "auth" dict $config -}}
{{- $headers := dig "query" "peers" "headers" dict $config -}}
{{- if and (dig "query" true $auth) (or (dig "bearer" list $auth) (dig "basic" "" $auth) (dig "oidc" "" $auth)) (not $headers) -}}
{{- $faults = append $faults "config.auth asks at the query ports of several instances; expected config.query.peers.headers with a credential of the role read, config.auth.query: false, or one instance: instances ask one another" -}}
{{- end -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- $faults = append $faults "ingress.hosts is empty; expected for example [{host: faults.example.com, paths: [{path: /, pathType: Prefix}]}]" -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- $faults = append $faults "httpRoute.parentRefs is empty; expected for example [{name: public, namespace: gateways}]" -}}
{{- end -}}

{{- if $faults -}}
{{- fail (printf "%d fault(s) in the values:\n  %s" (len $faults) (join "\n  " $faults)) -}}
{{- end -}}
{{- end -}}
