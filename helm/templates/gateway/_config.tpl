{{/* The gateway's configuration: what the chart sets, and `gateway.config` of the values over it. */}}

{{- define "firstfault.gatewayConfig" -}}
{{- $ports := include "firstfault.ports" . | fromYaml -}}
{{- $tls := .Values.tls -}}
{{- $folder := include "firstfault.folder" . -}}
{{- $port := index $ports "otlp-grpc" -}}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "0.0.0.0:4317"}
      http: {endpoint: "0.0.0.0:4318"}
processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20}
  # Holds a trace, then hands it on as one: the way it goes is chosen once.
  groupbytrace:
    wait_duration: {{ .Values.gateway.groupByTrace.wait }}
    num_traces: {{ int64 .Values.gateway.groupByTrace.tracesMax }}
  batch: {send_batch_size: 2048, timeout: 200ms}
exporters:
  loadbalancing:
    routing_key: traceID
    # Tried again here, not by the way to one instance: an instance that is gone has another in its place by then.
    timeout: 10s
    retry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 10s, max_elapsed_time: 300s}
    sending_queue: {enabled: true, queue_size: 2000}
    protocol:
      otlp:
        timeout: 5s
        retry_on_failure: {enabled: false}
        sending_queue: {enabled: false}
        {{- if .Values.auth.clientToken.existingSecret }}
        headers: {authorization: "Bearer ${env:FIRSTFAULT_TOKEN}"}
        {{- end }}
        tls:
          {{- if $tls.receivers.existingSecret }}
          insecure: false
          ca_file: {{ $folder }}/tls/ca/ca.crt
          # Instances are found by address; their certificate has the name of the service.
          server_name_override: {{ include "firstfault.host" (list . (include "firstfault.fullname" .)) }}
          {{- if $tls.client.existingSecret }}
          cert_file: {{ $folder }}/tls/client/tls.crt
          key_file: {{ $folder }}/tls/client/tls.key
          {{- end }}
          {{- else }}
          insecure: true
          {{- end }}
    resolver:
      {{- if eq .Values.gateway.resolver "k8s" }}
      k8s:
        service: {{ include "firstfault.headless" . }}.{{ .Release.Namespace }}
        ports: [{{ $port }}]
      {{- else }}
      dns:
        hostname: {{ include "firstfault.fqdn" (list . (include "firstfault.headless" .)) }}
        port: {{ $port | quote }}
        interval: 5s
        timeout: 1s
      {{- end }}
  {{- with .Values.gateway.backend }}
  {{- if .endpoint }}
  otlp/backend:
    endpoint: {{ .endpoint }}
    tls: {insecure: {{ .insecure }}}
  {{- end }}
  {{- end }}
extensions:
  health_check: {endpoint: "0.0.0.0:13133"}
service:
  extensions: [health_check]
  telemetry:
    metrics:
      readers:
        - pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, groupbytrace, batch]
      exporters: [loadbalancing]
    logs:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [loadbalancing]
    {{- if .Values.gateway.backend.endpoint }}
    traces/backend:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [otlp/backend]
    {{- end }}
{{- end -}}

{{- define "firstfault.gatewayMerged" -}}
{{- toYaml (mergeOverwrite (include "firstfault.gatewayConfig" . | fromYaml) (deepCopy .Values.gateway.config)) -}}
{{- end -}}
