{{/* Names, labels, images: what many objects share. */}}

{{- define "firstfault.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* 50 letters at most: a StatefulSet's pods carry a hash and a number behind it, and all is one DNS label. */}}
{{- define "firstfault.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "firstfault.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "firstfault.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "firstfault.headless" -}}{{ include "firstfault.fullname" . }}-headless{{- end -}}
{{- define "firstfault.gateway" -}}{{ include "firstfault.fullname" . }}-gateway{{- end -}}

{{/* The names by which certificates and DNS know a service: host of [root, service]. */}}
{{- define "firstfault.host" -}}
{{- $root := index . 0 -}}
{{- printf "%s.%s.svc" (index . 1) $root.Release.Namespace -}}
{{- end -}}
{{- define "firstfault.fqdn" -}}
{{- printf "%s.%s" (include "firstfault.host" .) (index . 0).Values.clusterDomain -}}
{{- end -}}

{{- define "firstfault.selector" -}}
app.kubernetes.io/name: {{ include "firstfault.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Selector of [root, component]: server, gateway, test. */}}
{{- define "firstfault.componentSelector" -}}
{{ include "firstfault.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of [root, component]. */}}
{{- define "firstfault.labels" -}}
{{- $root := index . 0 -}}
{{ include "firstfault.componentSelector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: firstfault
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "firstfault.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "firstfault.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Image of [image, default tag]. */}}
{{- define "firstfault.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Whether there may be more than one instance. */}}
{{- define "firstfault.many" -}}
{{- if or (and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1)) (and (not .Values.autoscaling.enabled) (gt (int .Values.replicas) 1)) -}}true{{- end -}}
{{- end -}}
