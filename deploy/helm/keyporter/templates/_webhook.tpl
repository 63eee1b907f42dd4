{{/* What all entries share; the path comes as `path`, the rest of the context as `context`. */}}
{{- define "keyporter.webhook.call" -}}
clientConfig:
  service:
    name: {{ include "keyporter.name" .context }}
    namespace: {{ .context.Release.Namespace }}
    path: {{ .path }}
    port: {{ .context.Values.service.port }}
  {{- /* In the other modes somebody else writes it: what is rendered here would take it away again. */}}
  {{- if eq .context.Values.certificates.mode "files" }}
  caBundle: {{ .context.Values.certificates.files.caBundle | b64enc }}
  {{- end }}
admissionReviewVersions: [v1]
timeoutSeconds: {{ .context.Values.webhook.timeoutSeconds }}
failurePolicy: {{ .context.Values.webhook.failurePolicy }}
matchPolicy: Equivalent
{{- end }}

{{- define "keyporter.webhook.metadata" -}}
labels:
  {{- include "keyporter.labels" . | nindent 2 }}
{{- $annotations := deepCopy .Values.webhook.annotations }}
{{- if eq .Values.certificates.mode "cert-manager" }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace (include "keyporter.name" .)) }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where nothing is called, whatever the label says. */}}
{{- define "keyporter.webhook.outside" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
    {{- $all := concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) .Values.webhook.excludedNamespaces }}
    {{- toYaml (uniq $all) | nindent 4 }}
{{- end }}

{{/* The kinds with pod templates. */}}
{{- define "keyporter.webhook.workloads" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [replicationcontrollers]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [cronjobs, jobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- if .Values.features.jobSets }}
- apiGroups: [jobset.x-k8s.io]
  apiVersions: ["*"]
  resources: [jobsets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}
{{- if .Values.features.sparkApplications }}
- apiGroups: [sparkoperator.k8s.io]
  apiVersions: ["*"]
  resources: [scheduledsparkapplications, sparkapplications]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}
{{- range .Values.webhook.customWorkloads }}
- apiGroups: [{{ .apiGroup | quote }}]
  apiVersions: ["*"]
  resources: {{ toJson .resources }}
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}
{{- end }}
