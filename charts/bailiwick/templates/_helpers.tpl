{{/* Labels of everything that the chart installs. managed-by is Helm: `bailiwick` is what the operator writes itself. */}}
{{- define "bailiwick.labels" -}}
app.kubernetes.io/name: bailiwick
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bailiwick
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* The part of the labels that never changes, for selectors. */}}
{{- define "bailiwick.selectorLabels" -}}
app.kubernetes.io/name: bailiwick
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The same for the Pod of `helm test`, which must not be taken for the operator. */}}
{{- define "bailiwick.testSelectorLabels" -}}
app.kubernetes.io/name: bailiwick-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The image of all Pods. */}}
{{- define "bailiwick.image" -}}
{{- with .Values.image -}}
image: {{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ .pullPolicy | default "IfNotPresent" }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted": the Pod's half, and the container's. */}}
{{- define "bailiwick.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "bailiwick.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{/* The one subject that any binding of this chart has. */}}
{{- define "bailiwick.operatorSubject" -}}
subjects:
  - kind: ServiceAccount
    name: bailiwick
    namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* The namespaces that organizations may take, as a JSON list. */}}
{{- define "bailiwick.namespaceWhitelist" -}}
{{- .Values.namespaceWhitelist | default (list .Release.Namespace) | toJson }}
{{- end }}

{{/* A list on one line, as people write it in RBAC rules. */}}
{{- define "bailiwick.flow" -}}
{{- toJson . | replace "\",\"" "\", \"" }}
{{- end }}

{{- /* Whether the policy that notes on Groups whether their author may bind them is part of this installation. */ -}}
{{- define "bailiwick.groupsAreVouched" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $known := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- and .Values.admissionPolicies.groupVouched.enabled (or $served $known) -}}
{{- end }}
