{{- define "keyporter.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "keyporter" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-keyporter" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "keyporter.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "keyporter.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "keyporter.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "keyporter.selectorLabels" -}}
app.kubernetes.io/name: keyporter
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "keyporter.labels" -}}
{{ include "keyporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/*
Whether the webhook writes the owners of Secrets, and no policy. Empty: no. A cluster that is asked names its kinds; where
Helm renders without one, its version tells.
*/}}
{{- define "keyporter.stampsByWebhook" -}}
{{- $apis := .Capabilities.APIVersions -}}
{{- $served := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- if $apis.Has "apps/v1/Deployment" -}}
{{- $served = $apis.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- end -}}
{{- if or (eq .Values.features.ownerStamp "webhook") (and (eq .Values.features.ownerStamp "auto") (not $served)) -}}
true
{{- end -}}
{{- end }}

{{/* A kubelet takes the user from the image and not its group, which would be root's. */}}
{{- define "keyporter.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.podSecurityContext.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .Values.podSecurityContext.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "keyporter.certificateSecret" -}}
{{- if eq .Values.certificates.mode "files" -}}
{{- .Values.certificates.files.secretName -}}
{{- else -}}
{{- printf "%s-tls" (include "keyporter.name" .) -}}
{{- end -}}
{{- end }}

{{/* Annotations of what `helm test` makes; the context is the weight, by which one comes after the other. */}}
{{- define "keyporter.trial.hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
