{{/* Name of everything in this release. */}}
{{- define "kubefugu.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "kubefugu" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-kubefugu" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a component: dict root, component. */}}
{{- define "kubefugu.name" -}}
{{- printf "%s-%s" (include "kubefugu.fullname" .root) .component -}}
{{- end -}}

{{/* Labels that never change: they are selectors, so no version in them. */}}
{{- define "kubefugu.selectorLabels" -}}
app.kubernetes.io/name: kubefugu
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "kubefugu.labels" -}}
{{ include "kubefugu.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: kubefugu
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image: dict root, image {repository, tag, digest}. The digest wins; the tag defaults to appVersion. */}}
{{- define "kubefugu.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $repository := .image.repository -}}
{{- if $registry -}}{{- $repository = printf "%s/%s" $registry $repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "kubefugu.serviceAccountName" -}}
{{- if .values.serviceAccount.create -}}
{{- .values.serviceAccount.name | default (include "kubefugu.name" .) -}}
{{- else -}}
{{- .values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Secret with the routers' admin token. */}}
{{- define "kubefugu.adminSecret" -}}
{{- .Values.router.admin.existingSecret | default (printf "%s-router-admin" (include "kubefugu.fullname" .)) -}}
{{- end -}}

{{/* URL of Redis; empty where there is none. A URL with a password comes from a Secret as REDIS_URL instead. */}}
{{- define "kubefugu.redisUrl" -}}
{{- if .Values.redis.enabled -}}
redis://{{ include "kubefugu.name" (dict "root" . "component" "redis") }}:6379/0
{{- else if .Values.externalRedis.existingSecret -}}
$(REDIS_URL)
{{- else -}}
{{- .Values.externalRedis.url -}}
{{- end -}}
{{- end -}}

{{- define "kubefugu.redisEnv" -}}
{{- if and (not .Values.redis.enabled) .Values.externalRedis.existingSecret }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.externalRedis.existingSecret }}, key: {{ .Values.externalRedis.key }}}
{{- end }}
{{- end -}}

{{/* Model files of router and trainer pods: from an image that an init container copies, from a claim, or from the hub. */}}
{{- define "kubefugu.models.initContainers" -}}
{{- if .Values.models.image.repository }}
- name: models
  image: {{ include "kubefugu.image" (dict "root" . "image" .Values.models.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: ["sh", "-c", "cp -r /models/. /target/"]
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /target}
{{- end }}
{{- end -}}

{{- define "kubefugu.models.volumes" -}}
- name: models
{{- if .Values.models.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .Values.models.existingClaim }}, readOnly: {{ .Values.models.readOnly }}}
{{- else }}
  emptyDir: {{- if .Values.models.sizeLimit }} {sizeLimit: {{ .Values.models.sizeLimit }}}{{ else }} {}{{ end }}
{{- end }}
{{- end -}}

{{- define "kubefugu.models.volumeMounts" -}}
- name: models
  mountPath: {{ .Values.models.mountPath }}
{{- if and .Values.models.existingClaim .Values.models.readOnly }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "kubefugu.models.env" -}}
- {name: HF_HOME, value: {{ printf "%s/hub" .Values.models.mountPath | quote }}}
{{- if .Values.models.hub.offline }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
{{- with .Values.models.hub.endpoint }}
- {name: HF_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .Values.models.hub.tokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- end -}}
