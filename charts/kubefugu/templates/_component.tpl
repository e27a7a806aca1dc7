{{/*
One component: Deployment, ServiceAccount, Service, PodDisruptionBudget, HorizontalPodAutoscaler, NetworkPolicy, ServiceMonitor.
dict: root, component, values (its block), pod (what only it has: args, env, ports, volumes, volumeMounts, initContainers,
labels, probes, strategy, automountToken, ingressFrom).
*/}}
{{- define "kubefugu.component" -}}
{{- if .values.enabled }}
{{ include "kubefugu.deployment" . }}
{{- if .values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "kubefugu.serviceAccountName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{ include "kubefugu.service" . }}
{{- if .values.pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
spec:
  minAvailable: {{ .values.pdb.minAvailable }}
  selector:
    matchLabels: {{- include "kubefugu.selectorLabels" . | nindent 6 }}
{{- end }}
{{- if .values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "kubefugu.name" . }}}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .values.autoscaling.targetCPUUtilizationPercentage }}}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "kubefugu.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    {{- if .pod.ingressFrom }}
    - from:
        {{- range .pod.ingressFrom }}
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: kubefugu
              app.kubernetes.io/component: {{ . }}
        {{- end }}
      ports:
        {{- range .pod.ports }}
        - {port: {{ .name }}, protocol: TCP}
        {{- end }}
    {{- else }}
    - ports:
        {{- range .pod.ports }}
        - {port: {{ .name }}, protocol: TCP}
        {{- end }}
    {{- end }}
    {{- with .root.Values.networkPolicy.metricsFrom }}
    - from: {{- toYaml . | nindent 8 }}
      ports:
        - {port: metrics, protocol: TCP}
    {{- end }}
{{- end }}
{{- if .root.Values.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kubefugu.labels" . | nindent 4 }}
    {{- with .root.Values.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels: {{- include "kubefugu.selectorLabels" . | nindent 6 }}
  endpoints:
    - {port: {{ .pod.metricsPort | default "metrics" }}, interval: {{ .root.Values.serviceMonitor.interval }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kubefugu.service" -}}
{{- if .pod.ports }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
  {{- with .values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if .pod.headless }}
  # Headless: gRPC clients see every pod and balance by themselves.
  clusterIP: None
  {{- else }}
  type: {{ .values.service.type }}
  {{- end }}
  selector: {{- include "kubefugu.selectorLabels" . | nindent 4 }}
  ports:
    {{- range .pod.ports }}
    - {name: {{ .name }}, port: {{ .servicePort | default .port }}, targetPort: {{ .name }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "kubefugu.deployment" -}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "kubefugu.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "kubefugu.labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  {{- with .pod.strategy }}
  strategy: {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels: {{- include "kubefugu.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "kubefugu.selectorLabels" . | nindent 8 }}
        {{- with .pod.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .values.podAnnotations .pod.annotations }}
      annotations:
        {{- with .pod.annotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "kubefugu.serviceAccountName" . }}
      automountServiceAccountToken: {{ .pod.automountToken | default false }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
      securityContext: {{- toYaml (.values.podSecurityContext | default .root.Values.podSecurityContext) | nindent 8 }}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.topologySpreadConstraints }}
      topologySpreadConstraints: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .pod.initContainers }}
      initContainers: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - {{- include "kubefugu.container" . | nindent 10 }}
        {{- with .pod.sidecars }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- with .pod.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{- define "kubefugu.container" -}}
name: {{ .component }}
image: {{ include "kubefugu.image" (dict "root" .root "image" .values.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .pod.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .pod.args .values.extraArgs }}
args:
  {{- with .pod.args }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if or .pod.env .values.extraEnv }}
env:
  {{- with .pod.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .pod.ports }}
ports:
  {{- range . }}
  - {name: {{ .name }}, containerPort: {{ .port }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- $probes := mergeOverwrite (deepCopy (.pod.probes | default dict)) (.values.probes | default dict) }}
{{- with $probes.startup }}
startupProbe: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $probes.readiness }}
readinessProbe: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $probes.liveness }}
livenessProbe: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .pod.drains }}
# Whoever still knows this pod's address is served while the address is being taken out of DNS and load balancers.
lifecycle: {preStop: {sleep: {seconds: 5}}}
{{- end }}
securityContext: {{- toYaml (.values.securityContext | default .root.Values.securityContext) | nindent 2 }}
{{- with .values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- with .pod.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
