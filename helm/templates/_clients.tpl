{{/* What gateway and test need to talk to the server: who signed its certificate, and a certificate of their own. */}}

{{- define "firstfault.clientMounts" -}}
{{- $folder := include "firstfault.folder" . }}
{{- with coalesce .Values.tls.receivers.existingSecret .Values.tls.query.existingSecret }}
- {name: ca, mountPath: {{ $folder }}/tls/ca, readOnly: true}
{{- end }}
{{- with .Values.tls.client.existingSecret }}
- {name: client, mountPath: {{ $folder }}/tls/client, readOnly: true}
{{- end }}
{{- end -}}

{{- define "firstfault.clientVolumes" -}}
{{- with coalesce .Values.tls.receivers.existingSecret .Values.tls.query.existingSecret }}
- name: ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    # Not the server's key.
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- with .Values.tls.client.existingSecret }}
- name: client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* Their token, in the environment. */}}
{{- define "firstfault.clientToken" -}}
{{- with .Values.auth.clientToken }}
{{- if .existingSecret }}
- name: FIRSTFAULT_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- end -}}
