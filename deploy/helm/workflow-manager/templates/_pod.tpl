{{/*
The pod of every workload: dict
  "root"
  "component"  a label: run, serve, check or test
  "instance"   a label, if the pod works on one instance
  "shard"      a label, if there are shards
  "args"       the command and its flags, as lines of YAML
  "env"        variables, as lines of YAML
  "file"       the volume of the file of instances, as lines of YAML, if it is needed
  "container"  further fields of the container, as lines of YAML
  "command"    what to run instead of the image's entry point, as lines of YAML
  "restart"    restartPolicy
  "annotations"
  "jobs"       not empty if it makes Jobs, for which it needs a token and the templates
*/}}
{{- define "workflow-manager.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "workflow-manager.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with .instance }}
    workflow-manager/instance: {{ quote . }}
    {{- end }}
    {{- with .shard }}
    workflow-manager/shard: {{ quote . }}
    {{- end }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (.annotations | default dict) ($values.podAnnotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: {{ .restart }}
  serviceAccountName: {{ include "workflow-manager.serviceAccountName" .root }}
  automountServiceAccountToken: {{ ternary true false (ne .jobs "") }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add 10 (include "workflow-manager.graceSeconds" .root | int) }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range $constraint := . }}
    {{- $own := dict "matchLabels" (include "workflow-manager.selectorLabels" $.root | fromYaml) }}
    - {{ ternary $constraint (merge (dict "labelSelector" $own) $constraint) (hasKey $constraint "labelSelector") | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- with $values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: workflow-manager
      image: {{ include "workflow-manager.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- . | trim | nindent 8 }}
      {{- end }}
      args:
        {{- .args | trim | nindent 8 }}
      {{- if or (trim .env) $values.extraEnv }}
      env:
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with trim .env }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .container }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if .file }}
        - {name: instances, mountPath: {{ include "workflow-manager.directory" . }}, readOnly: true}
        {{- end }}
        {{- if and .jobs $values.jobTemplates }}
        - {name: job-templates, mountPath: {{ include "workflow-manager.jobTemplateDirectory" . }}, readOnly: true}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- with .file }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- if and .jobs $values.jobTemplates }}
    - name: job-templates
      configMap: {name: {{ .jobTemplates | default (printf "%s-job-templates" (include "workflow-manager.fullname" .root)) }}}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "workflow-manager.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end }}

{{/* Not empty if any instance makes Jobs, or may: an existing file is not known here. */}}
{{- define "workflow-manager.makesJobs" -}}
{{- if or .Values.rbac.namespaces (include "workflow-manager.jobNamespaces" . | fromYamlArray) }}yes{{ end -}}
{{- end }}

{{/* What every combination of options requires, in words. */}}
{{- define "workflow-manager.validate" -}}
{{- $values := .Values -}}
{{- if $values.serve.file.existing -}}
  {{- if ne $values.mode "serve" -}}{{- fail "serve.file.existing requires mode: serve" -}}{{- end -}}
  {{- if $values.instances -}}{{- fail "serve.file.existing takes the place of instances; remove one of them" -}}{{- end -}}
{{- else if not $values.instances -}}
  {{- fail "instances is empty; name at least one, for example: --values my-values.yaml with 'instances: {na-ingestor-1: {ingestor-input: gs://…}}'" -}}
{{- end -}}
{{- range $name, $_ := $values.cronJob.schedules -}}
  {{- if not (hasKey $values.instances $name) -}}{{- fail (printf "cronJob.schedules.%s: no instance has this name" $name) -}}{{- end -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled (ne $values.mode "serve") -}}
  {{- fail "serviceMonitor.enabled requires mode: serve; a run pushes its metrics to push-gateway" -}}
{{- end -}}
{{- end }}
