{{/* Names and labels. */}}

{{- define "workflow-manager.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* 30 characters leave room for an instance's name in the 52 that a CronJob's name has. */}}
{{- define "workflow-manager.fullname" -}}
{{- $name := include "workflow-manager.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 30 | trimSuffix "-" -}}
{{- end }}

{{/* The name of an instance's CronJob. A name that had to be changed has a hash, so that no two are equal. */}}
{{- define "workflow-manager.cronJobName" -}}
{{- $plain := printf "%s-%s" (include "workflow-manager.fullname" .root) .name -}}
{{- if and (le (len $plain) 52) (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $plain) -}}
{{- $plain -}}
{{- else -}}
{{- $safe := regexReplaceAll "[^a-z0-9]+" (lower $plain) "-" -}}
{{- printf "%s-%s" ($safe | trunc 43 | trimSuffix "-") (sha256sum .name | trunc 8) -}}
{{- end -}}
{{- end }}

{{- define "workflow-manager.serviceAccountName" -}}
{{- $created := and .Values.serviceAccount.create (include "workflow-manager.fullname" .) -}}
{{- .Values.serviceAccount.name | default $created | default "default" -}}
{{- end }}

{{- define "workflow-manager.selectorLabels" -}}
app.kubernetes.io/name: {{ include "workflow-manager.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "workflow-manager.labels" -}}
{{ include "workflow-manager.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The start of every object's metadata: dict "root", "name", and if needed "component". */}}
{{- define "workflow-manager.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "workflow-manager.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
{{- end }}
