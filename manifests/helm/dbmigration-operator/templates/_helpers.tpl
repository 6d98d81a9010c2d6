{{- define "dbmigration.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "dbmigration.labels" -}}
app.kubernetes.io/name: dbmigration-operator
app.kubernetes.io/part-of: dbmigration
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "dbmigration.selector" -}}
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dbmigration.image" -}}
{{- with .Values.image }}{{ with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- /* Of our own pod, where we may look at it: else its image is told. */ -}}
{{- define "dbmigration.runnerImage" -}}
{{- if .Values.runner.image }}{{ .Values.runner.image }}{{ else if and .Values.watchNamespaces (not (has .Release.Namespace .Values.watchNamespaces)) }}{{ include "dbmigration.image" . }}{{ end }}
{{- end }}
