{{/* Flags of instances, as texts or references, and what containers are given them by. */}}

{{/* A value as the text that stands in the values; large numbers would come out as 2.0201e+11. */}}
{{- define "workflow-manager.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ printf "%.0f" . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end }}

{{/* An argument. Kubernetes would expand $(NAME); $$ is a plain $ to it. */}}
{{- define "workflow-manager.argument" -}}
{{- printf "--%s=%s" .flag (replace "$(" "$$(" .text) | quote -}}
{{- end }}

{{/* The arguments of a map of flags. */}}
{{- define "workflow-manager.arguments" -}}
{{- range $flag, $value := . }}
{{- if not (kindIs "invalid" $value) }}
- {{ include "workflow-manager.argument" (dict "flag" $flag "text" (include "workflow-manager.text" $value)) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The directory of the file of instances in a container. */}}
{{- define "workflow-manager.directory" -}}/etc/workflow-manager/instances{{- end }}
{{- define "workflow-manager.jobTemplateDirectory" -}}/etc/workflow-manager/job-templates{{- end }}

{{/* Flags (a list of maps, the later ones before the earlier ones) as YAML: scalars as texts, references as maps. */}}
{{- define "workflow-manager.given" -}}
{{- $given := dict -}}
{{- range $flags := . -}}
  {{- range $flag, $value := $flags -}}
    {{- if kindIs "map" $value -}}{{- $_ := set $given $flag $value -}}
    {{- else if kindIs "invalid" $value -}}{{- $_ := set $given $flag "" -}}
    {{- else -}}{{- $_ := set $given $flag (include "workflow-manager.text" $value) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}

{{/* All flags of one instance (dict "root", "name"), with the defaults. */}}
{{- define "workflow-manager.flags" -}}
{{- $given := include "workflow-manager.given" (list .root.Values.defaults (get .root.Values.instances .name)) | fromYaml -}}
{{- if eq (toString (get $given "task-queue-kind")) "kubernetes-jobs" -}}
  {{- $directory := include "workflow-manager.jobTemplateDirectory" . -}}
  {{- range $task := list "intake" "aggregate" -}}
    {{- $flag := printf "kubernetes-job-template-%s" $task -}}
    {{- if and (hasKey $.root.Values.jobTemplates $task) (not (get $given $flag)) -}}
      {{- $_ := set $given $flag (printf "%s/%s.yaml" $directory $task) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}

{{/* The variable that a reference to a Secret or ConfigMap is read from: readable, and one for each reference. */}}
{{- define "workflow-manager.variable" -}}
{{- $kind := keys . | first -}}
{{- $ref := get . $kind -}}
{{- $readable := regexReplaceAll "[^A-Z0-9]+" (printf "%s_%s" $ref.name $ref.key | upper) "_" -}}
{{- printf "FROM_%s_%s" $readable (printf "%s/%s/%s" $kind $ref.name $ref.key | sha256sum | trunc 8) -}}
{{- end }}

{{- define "workflow-manager.isKeyRef" -}}
{{- if kindIs "map" . }}{{ if or .secretKeyRef .configMapKeyRef }}true{{ end }}{{ end -}}
{{- end }}

{{/* The variables of all references of all instances, once each. */}}
{{- define "workflow-manager.variables" -}}
{{- $found := dict -}}
{{- range $name, $_ := .Values.instances -}}
  {{- range $flag, $value := include "workflow-manager.flags" (dict "root" $ "name" $name) | fromYaml -}}
    {{- if include "workflow-manager.isKeyRef" $value -}}
      {{- $_ := set $found (include "workflow-manager.variable" $value) $value -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $variable, $source := $found }}
- name: {{ $variable }}
  valueFrom:
    {{- toYaml $source | nindent 4 }}
{{- end }}
{{- end }}

{{/* One instance of the file of instances. */}}
{{- define "workflow-manager.fileEntry" -}}
{{- range $flag, $value := . }}
{{- if include "workflow-manager.isKeyRef" $value }}
{{ $flag }}: {env: {{ include "workflow-manager.variable" $value }}}
{{- else if kindIs "map" $value }}
{{ $flag }}: {{ toJson $value }}
{{- else }}
{{ $flag }}: {{ quote $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* The file of all instances, for `serve`, `check` and tests. */}}
{{- define "workflow-manager.file" -}}
{{- $defaults := include "workflow-manager.given" (list .Values.defaults) | fromYaml -}}
{{- with $defaults -}}
defaults:
  {{- include "workflow-manager.fileEntry" . | trim | nindent 2 }}
{{ end -}}
instances:
{{- range $name, $own := .Values.instances }}
  {{- $flags := include "workflow-manager.flags" (dict "root" $ "name" $name) | fromYaml }}
  {{- range $flag, $_ := $defaults }}
    {{- if not (hasKey ($own | default dict) $flag) }}{{ $flags = omit $flags $flag }}{{ end }}
  {{- end }}
  {{ quote $name }}:
    {{- include "workflow-manager.fileEntry" $flags | trim | nindent 4 }}
{{- end }}
{{- end }}

{{/* The kind of the file's object, its name, and a volume of it: dict "root", "kind", "name". */}}
{{- define "workflow-manager.fileVolume" -}}
- name: instances
  {{- if eq .kind "Secret" }}
  secret: {secretName: {{ .name }}}
  {{- else }}
  configMap: {name: {{ .name }}}
  {{- end }}
{{- end }}

{{/* A duration as Go writes it, in whole seconds, rounded up. */}}
{{- define "workflow-manager.seconds" -}}
{{- $total := 0.0 -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.000000001 -}}
{{- range $part := regexFindAll "[0-9.]+(h|ms|m|s|us|µs|ns)" . -1 -}}
  {{- $number := regexFind "^[0-9.]+" $part -}}
  {{- $total = addf $total (mulf (float64 $number) (get $units (trimPrefix $number $part))) -}}
{{- end -}}
{{- ceil $total | int -}}
{{- end }}

{{- define "workflow-manager.graceSeconds" -}}
{{- get (.Values.process | default dict) "shutdown-grace" | default "20s" | include "workflow-manager.seconds" -}}
{{- end }}

{{/* When an instance runs: dict "root", "name", "flags". */}}
{{- define "workflow-manager.schedule" -}}
{{- $own := get (.root.Values.cronJob.schedules | default dict) .name | default .root.Values.cronJob.schedule -}}
{{- if $own -}}{{- $own -}}
{{- else -}}
  {{- $interval := get .flags "interval" | default "5m" -}}
  {{- $seconds := include "workflow-manager.seconds" $interval | int -}}
  {{- $minutes := div $seconds 60 | int -}}
  {{- $hash := adler32sum .name | int -}}
  {{- if or (lt $minutes 1) (mod $seconds 60) -}}
    {{- fail (printf "instances.%s: interval %s is not a whole number of minutes; set cronJob.schedules.%s" .name $interval .name) -}}
  {{- else if and (le $minutes 30) (not (mod 60 $minutes)) -}}
    {{- ternary "* * * * *" (printf "%d-59/%d * * * *" (mod $hash $minutes) $minutes) (eq $minutes 1) -}}
  {{- else if and (not (mod $minutes 60)) (le $minutes 1440) (not (mod 24 (div $minutes 60))) -}}
    {{- $hours := div $minutes 60 -}}
    {{- printf "%d %s * * *" (mod $hash 60) (eq $hours 1 | ternary "*" (printf "%d-23/%d" (mod (div $hash 60) $hours) $hours)) -}}
  {{- else -}}
    {{- fail (printf "instances.%s: interval %s does not divide an hour or a day; set cronJob.schedules.%s" .name $interval .name) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The namespaces that Jobs are made in, each once; empty if no instance makes any. */}}
{{- define "workflow-manager.jobNamespaces" -}}
{{- $found := dict -}}
{{- range $name, $_ := .Values.instances -}}
  {{- $flags := include "workflow-manager.flags" (dict "root" $ "name" $name) | fromYaml -}}
  {{- if eq (toString (get $flags "task-queue-kind")) "kubernetes-jobs" -}}
    {{- $_ := set $found (get $flags "kubernetes-namespace" | default $.Release.Namespace | toString) true -}}
  {{- end -}}
{{- end -}}
{{- keys $found | sortAlpha | toYaml -}}
{{- end }}
