{{/* Labels of everything that the chart installs. managed-by is Helm: `bailiwick` marks what the operator writes. */}}
{{- define "bailiwick.labels" -}}
app.kubernetes.io/name: bailiwick
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bailiwick
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* The labels that never change, for selectors. */}}
{{- define "bailiwick.selectorLabels" -}}
app.kubernetes.io/name: bailiwick
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The same for the Pod of `helm test`, which must not match the operator's selectors. */}}
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

{{/* Pod Security "restricted": the settings of the Pod, and of the container. */}}
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

{{/* The only subject in the bindings of this chart. */}}
{{- define "bailiwick.operatorSubject" -}}
subjects:
  - kind: ServiceAccount
    name: bailiwick
    namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* The namespaces that organizations may claim, as a JSON list. */}}
{{- define "bailiwick.namespaceWhitelist" -}}
{{- .Values.namespaceWhitelist | default (list .Release.Namespace) | toJson }}
{{- end }}

{{/* The namespaces that this chart may create, as a JSON list. */}}
{{- define "bailiwick.createNamespaces" -}}
{{- $names := .Values.createNamespaces }}
{{- if kindIs "bool" $names }}
{{- $names = ternary (include "bailiwick.namespaceWhitelist" . | fromJsonArray) list $names }}
{{- end }}
{{- without $names .Release.Namespace | toJson }}
{{- end }}

{{/*
The current namespaces in the cluster that concern this release, as JSON: `asked` says whether Helm could ask the
cluster (`helm template` and Argo CD cannot), and `namespaces` has the metadata by name.
*/}}
{{- define "bailiwick.cluster" -}}
{{- $items := (lookup "v1" "Namespace" "" "").items | default list }}
{{- $concerned := dict .Release.Namespace true }}
{{- range include "bailiwick.namespaceWhitelist" . | fromJsonArray }}
{{- $_ := set $concerned . true }}
{{- end }}
{{- $namespaces := dict }}
{{- range $items }}
{{- if or (hasKey $concerned .metadata.name) (eq (include "bailiwick.isOfTheRelease" (list $ .metadata)) "true") }}
{{- $_ := set $namespaces .metadata.name (pick .metadata "labels" "annotations" "deletionTimestamp") }}
{{- end }}
{{- end }}
{{- dict "asked" (not (empty $items)) "namespaces" $namespaces | toJson }}
{{- end }}

{{/* Whether Helm treats an object as part of this release: (list . metadata). */}}
{{- define "bailiwick.isOfTheRelease" -}}
{{- $release := (index . 0).Release }}
{{- $annotations := (index . 1).annotations | default dict }}
{{- and (eq (get $annotations "meta.helm.sh/release-name") $release.Name)
        (eq (get $annotations "meta.helm.sh/release-namespace") $release.Namespace) }}
{{- end }}

{{/*
Annotations of objects that stay when the release is uninstalled. Argo CD follows Helm's annotation only when it deletes
an Application, so it gets its own: do not prune the object, do not delete it, and do not report it as out of sync after
the chart no longer renders it.
*/}}
{{- define "bailiwick.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
{{- end }}

{{/* A list on one line, as in RBAC rules. */}}
{{- define "bailiwick.flow" -}}
{{- toJson . | replace "\",\"" "\", \"" }}
{{- end }}

{{- /* Whether this cluster has MutatingAdmissionPolicies: Kubernetes 1.36. */ -}}
{{- define "bailiwick.mutates" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $known := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- or $served $known -}}
{{- end }}

{{- /* Whether the policy bailiwick-group-vouched is part of this installation. */ -}}
{{- define "bailiwick.groupsAreVouched" -}}
{{- and .Values.admissionPolicies.groupVouched.enabled (eq (include "bailiwick.mutates" .) "true") -}}
{{- end }}

{{/* The username of the operator. */}}
{{- define "bailiwick.operatorUsername" -}}
system:serviceaccount:{{ .Release.Namespace }}:bailiwick
{{- end }}

{{/* The binding of a policy that has no parameters: (list . "name"). */}}
{{- define "bailiwick.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "bailiwick.labels" (index . 0) | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: ["Deny"]
{{- end }}

{{/*
The control plane's controllers (garbage collection, namespace deletion, Deployments) and the nodes carry out what was
admitted before. Refusing them would leave namespaces in Terminating forever.
*/}}
{{- define "bailiwick.notTheControlPlane" -}}
- name: not-the-control-plane
  expression: >-
    {{- include "bailiwick.othersThanTheControlPlane" . | nindent 4 }}
{{- end }}
{{- define "bailiwick.othersThanTheControlPlane" -}}
!('system:serviceaccounts:kube-system' in request.userInfo.?groups.orValue([]))
&& !('system:nodes' in request.userInfo.?groups.orValue([]))
&& !(request.userInfo.username in ['system:kube-controller-manager', 'system:kube-scheduler', 'system:apiserver'])
{{- end }}

{{/*
The same, but deletions by the control plane are checked too. Nobody admitted those of the garbage collector: an owner
reference may be older than the guard, and deleting the owner needs no right to the object. `deletedWithItsNamespace`
allows the deletions that Kubernetes cannot do without.
*/}}
{{- define "bailiwick.notTheControlPlaneUnlessItDeletes" -}}
- name: not-the-control-plane
  expression: >-
    request.operation == 'DELETE' || (
    {{- include "bailiwick.othersThanTheControlPlane" . | nindent 4 }})
{{- end }}

{{/* Without separate credentials for its controllers, the controller manager is one user. */}}
{{- define "bailiwick.deletedWithItsNamespace" -}}
(request.operation == 'DELETE' && request.?namespace.orValue('') != '' && has(namespaceObject.metadata.deletionTimestamp)
&& request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])
{{- end }}

{{/* Whether an update leaves unchanged the metadata that people and controllers act on. */}}
{{- define "bailiwick.sameMetadata" -}}
['labels', 'annotations', 'ownerReferences', 'finalizers'].all(k, object.metadata[?k] == oldObject.metadata[?k])
{{- end }}

{{/* Writes and connections. The bindings below limit the namespaces. */}}
{{- define "bailiwick.suspendedFrom" -}}
resourceRules:
  - apiGroups: ["*"]
    apiVersions: ["*"]
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE", "CONNECT"]
    scope: Namespaced
  - apiGroups: ["bailiwick.dev"]
    apiVersions: ["*"]
    # Statuses too, because they say who is suspended.
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE"]
    scope: Cluster
  # Deleting the Namespace deletes everything in it.
  - apiGroups: [""]
    apiVersions: ["*"]
    resources: ["namespaces", "namespaces/*"]
    operations: ["UPDATE", "DELETE"]
    scope: Cluster
  {{- include "bailiwick.clusterKindsOfTheCatalog" (list . "Cluster") | trim | nindent 2 }}
{{- end }}

{{/* The kinds of the catalog's cluster words, except our own, with all subresources: (list . "scope"). */}}
{{- define "bailiwick.clusterKindsOfTheCatalog" -}}
{{- range $word, $entry := (index . 0).Values.catalog }}
{{- if eq ($entry.target | default "organization") "cluster" }}
{{- range $name, $rule := $entry.rules }}
{{- if ne (toJson $rule.apiGroups) (toJson (list "bailiwick.dev")) }}
{{- $resources := list }}
{{- range $rule.resources }}
{{- $resources = concat $resources (contains "/" . | ternary (list .) (list . (print . "/*"))) }}
{{- end }}
- apiGroups: {{ include "bailiwick.flow" $rule.apiGroups }}
  apiVersions: ["*"]
  resources: {{ include "bailiwick.flow" $resources }}
  operations: ["CREATE", "UPDATE", "DELETE", "CONNECT"]
  scope: {{ index $ 1 }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The namespaces of organizations. Cluster-scoped kinds match any namespace selector, so they are included. */}}
{{- define "bailiwick.inOrganizations" -}}
namespaceSelector:
  matchExpressions:
    - key: bailiwick.dev/organization
      operator: Exists
{{- end }}

{{/*
These Namespaces themselves, even if a change removes the label: a selector checks the labels before and after it.
*/}}
{{- define "bailiwick.namespacesOfOrganizations" -}}
objectSelector:
  matchExpressions:
    - key: bailiwick.dev/organization
      operator: Exists
resourceRules:
  - apiGroups: [""]
    apiVersions: ["*"]
    resources: ["namespaces", "namespaces/*"]
    operations: ["UPDATE", "DELETE"]
    scope: Cluster
{{- end }}

{{/* The release namespace, where the catalog's release words apply, unless it also belongs to an organization. */}}
{{- define "bailiwick.inTheReleaseNamespace" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values: [{{ .Release.Namespace | quote }}]
    - key: bailiwick.dev/organization
      operator: DoesNotExist
# No cluster-scoped kinds: they match any namespace selector, and the binding for organizations covers them.
resourceRules:
  - apiGroups: ["*"]
    apiVersions: ["*"]
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE", "CONNECT"]
    scope: Namespaced
  - apiGroups: [""]
    apiVersions: ["*"]
    resources: ["namespaces", "namespaces/*"]
    operations: ["UPDATE", "DELETE"]
    scope: Cluster
{{- end }}

{{/*
In other namespaces: our own kinds, which take effect when an organization claims the namespace. Also the kinds of the
catalog's cluster words, in case one of them is namespaced against the rule: it would be granted in every namespace.
*/}}
{{- define "bailiwick.ourKindsElsewhere" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: [{{ .Release.Namespace | quote }}]
    - key: bailiwick.dev/organization
      operator: DoesNotExist
resourceRules:
  - apiGroups: ["bailiwick.dev"]
    apiVersions: ["*"]
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE"]
    scope: Namespaced
  {{- include "bailiwick.clusterKindsOfTheCatalog" (list . "Namespaced") | trim | nindent 2 }}
{{- end }}

{{/*
What the bindings of bailiwick-suspended-now match, by the end of their names. RBAC that the operator wrote is left out:
writing it requires `override` cluster-wide (policies/managed-objects.yaml), and anyone with that could also remove the
policies. A selector matches an object that has the label before or after a change, so only a change through
`namespaces/status` gets around it, and only cluster administrators may write that.
*/}}
{{- define "bailiwick.suspendedNowFrom" -}}
-elsewhere:
  {{- include "bailiwick.ourKindsElsewhere" . | nindent 2 }}
-namespaces:
  {{- include "bailiwick.namespacesOfOrganizations" . | nindent 2 }}
-release:
  {{- include "bailiwick.inTheReleaseNamespace" . | nindent 2 }}
"":
  {{- include "bailiwick.inOrganizations" . | nindent 2 }}
{{- if .Values.admissionPolicies.managedObjects.enabled }}
  excludeResourceRules:
    - apiGroups: ["rbac.authorization.k8s.io"]
      apiVersions: ["*"]
      resources: ["*"]
      operations: ["*"]
-rbac:
  {{- include "bailiwick.inOrganizations" . | nindent 2 }}
  resourceRules:
    - apiGroups: ["rbac.authorization.k8s.io"]
      apiVersions: ["*"]
      resources: ["*"]
      operations: ["*"]
  objectSelector:
    matchExpressions:
      - key: app.kubernetes.io/managed-by
        operator: NotIn
        values: ["bailiwick"]
{{- end }}
{{- end }}

{{/* Users who can be suspended: no components of Kubernetes, no ServiceAccounts, and nobody who is exempt. */}}
{{- define "bailiwick.people" -}}
- name: people
  expression: "!request.userInfo.username.startsWith('system:')"
- name: not-exempt
  expression: >-
    !('system:masters' in request.userInfo.?groups.orValue([]))
    {{- with .Values.admissionPolicies.suspendedUsers.breakGlass }}
    && !(request.userInfo.username in {{ toJson . }})
    {{- end }}
{{- end }}

{{/* Whether the user of the request is absent from one of the two texts with the names of suspended users. */}}
{{- define "bailiwick.notListed" -}}
request.userInfo.username.size() > 128
|| !params.?data[?{{ squote . }}].orValue('').contains('\n' + request.userInfo.username + '\n')
{{- end }}

{{/* A list that a request may omit or set to null. */}}
{{- define "bailiwick.orEmpty" -}}
optional.ofNonZeroValue({{ . }}.orValue([])).orValue([])
{{- end }}

{{/*
A mutation that sets one label or annotation. It is a JSON patch, because the API server applies a configuration only to
a well-typed object, and otherwise answers with an error of the policy instead of one of the schema.
*/}}
{{- define "bailiwick.setMetadata" -}}
{{- $field := index . 0 -}}
patchType: JSONPatch
jsonPatch:
  expression: >-
    (object.metadata.?{{ $field }}.orValue(null) == null ? [JSONPatch{op: 'add', path: '/metadata/{{ $field }}', value: {}}] : [])
    + [JSONPatch{op: 'add', path: '/metadata/{{ $field }}/' + jsonpatch.escapeKey({{ index . 1 | squote }}), value: {{ index . 2 }}}]
{{- end }}
