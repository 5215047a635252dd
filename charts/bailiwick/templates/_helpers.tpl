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

{{/* The namespaces that this chart may create, as a JSON list. */}}
{{- define "bailiwick.createNamespaces" -}}
{{- $names := .Values.createNamespaces }}
{{- if kindIs "bool" $names }}
{{- $names = ternary (include "bailiwick.namespaceWhitelist" . | fromJsonArray) list $names }}
{{- end }}
{{- without $names .Release.Namespace | toJson }}
{{- end }}

{{/*
What the cluster knows now of the namespaces that concern this release, as JSON: `asked`, whether Helm could ask at all
(`helm template` and Argo CD cannot), and `namespaces`, the metadata by name.
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

{{/* Whether Helm counts an object as part of this release: (list . metadata). */}}
{{- define "bailiwick.isOfTheRelease" -}}
{{- $release := (index . 0).Release }}
{{- $annotations := (index . 1).annotations | default dict }}
{{- and (eq (get $annotations "meta.helm.sh/release-name") $release.Name)
        (eq (get $annotations "meta.helm.sh/release-namespace") $release.Namespace) }}
{{- end }}

{{/*
Annotations of what outlives the release. Argo CD heeds Helm's word only when it deletes an Application, so it gets its own: not
to prune the object, not to delete it, and not to count it as out of sync once the chart no longer has it.
*/}}
{{- define "bailiwick.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
{{- end }}

{{/* A list on one line, as people write it in RBAC rules. */}}
{{- define "bailiwick.flow" -}}
{{- toJson . | replace "\",\"" "\", \"" }}
{{- end }}

{{- /* Whether this cluster has MutatingAdmissionPolicies: Kubernetes 1.36. */ -}}
{{- define "bailiwick.mutates" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $known := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- or $served $known -}}
{{- end }}

{{- /* Whether the policy that notes on Groups whether their author may bind them is part of this installation. */ -}}
{{- define "bailiwick.groupsAreVouched" -}}
{{- and .Values.admissionPolicies.groupVouched.enabled (eq (include "bailiwick.mutates" .) "true") -}}
{{- end }}

{{/* How the API server calls the operator. */}}
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
The control plane's own controllers (garbage collection, namespaces that go, Deployments that become Pods) and the nodes
carry out what was admitted before. Refusing them would leave namespaces in Terminating for ever.
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
The same, but deletions are judged whoever asks for them. Nobody admitted those of the garbage collector: an owner reference
may be older than the guard, and deleting the owner needs no right to the object. `deletedWithItsNamespace` lets through
the deletions that Kubernetes cannot do without.
*/}}
{{- define "bailiwick.notTheControlPlaneUnlessItDeletes" -}}
- name: not-the-control-plane
  expression: >-
    request.operation == 'DELETE' || (
    {{- include "bailiwick.othersThanTheControlPlane" . | nindent 4 }})
{{- end }}

{{/* Without credentials of their own for its controllers, the controller manager is one user. */}}
{{- define "bailiwick.deletedWithItsNamespace" -}}
(request.operation == 'DELETE' && request.?namespace.orValue('') != '' && has(namespaceObject.metadata.deletionTimestamp)
&& request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])
{{- end }}

{{/* Whether an update leaves the metadata as it is that people and controllers act on. */}}
{{- define "bailiwick.sameMetadata" -}}
['labels', 'annotations', 'ownerReferences', 'finalizers'].all(k, object.metadata[?k] == oldObject.metadata[?k])
{{- end }}

{{/* Writes and connections; the bindings below say where. */}}
{{- define "bailiwick.suspendedFrom" -}}
resourceRules:
  - apiGroups: ["*"]
    apiVersions: ["*"]
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE", "CONNECT"]
    scope: Namespaced
  - apiGroups: ["bailiwick.dev"]
    apiVersions: ["*"]
    # A status says who is suspended.
    resources: ["*/*"]
    operations: ["CREATE", "UPDATE", "DELETE"]
    scope: Cluster
  # Deleting the Namespace is deleting everything in it.
  - apiGroups: [""]
    apiVersions: ["*"]
    resources: ["namespaces", "namespaces/*"]
    operations: ["UPDATE", "DELETE"]
    scope: Cluster
  {{- include "bailiwick.clusterKindsOfTheCatalog" (list . "Cluster") | trim | nindent 2 }}
{{- end }}

{{/* What the catalog's words for the cluster are about beside our own kinds, with all subresources: (list . "scope"). */}}
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

{{/* All of it in the namespaces of organizations, and what is in no namespace: that matches any selector. */}}
{{- define "bailiwick.inOrganizations" -}}
namespaceSelector:
  matchExpressions:
    - key: bailiwick.dev/organization
      operator: Exists
{{- end }}

{{/* These Namespaces themselves, also when a change takes the label off: an object's labels count before and after it. */}}
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

{{/* The release namespace, where the catalog's words for the release apply, if it is not an organization's as well. */}}
{{- define "bailiwick.inTheReleaseNamespace" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values: [{{ .Release.Namespace | quote }}]
    - key: bailiwick.dev/organization
      operator: DoesNotExist
# Not the cluster-scoped kinds: those match any selector of namespaces, and the binding for organizations has them.
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
Elsewhere our own kinds, which grant from when an organization takes the namespace. And the kinds of the catalog's words
for the cluster, should one of them be namespaced against the rule: it would be granted in every namespace.
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
What the bindings of the policy on the freshly suspended are about, by the end of their names. RBAC that the operator wrote
is left out: who writes that needs `override` at the cluster (policies/managed-objects.yaml) and could as well do away with
the policies. A selector finds an object that has the label before or after a change, so no change gets around it
but one through `namespaces/status`, which only administrators of the cluster may write.
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

{{/* Who can be suspended: no component of Kubernetes, no ServiceAccount, nobody who is exempt. */}}
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

{{/* Whether the sender is not in one of the two texts with the names of suspended users. */}}
{{- define "bailiwick.notListed" -}}
request.userInfo.username.size() > 128
|| !params.?data[?{{ squote . }}].orValue('').contains('\n' + request.userInfo.username + '\n')
{{- end }}

{{/* A list that a request may leave out, or give as null. */}}
{{- define "bailiwick.orEmpty" -}}
optional.ofNonZeroValue({{ . }}.orValue([])).orValue([])
{{- end }}

{{/*
A mutation that sets one label or annotation. It is a JSON patch, because the API server would apply a configuration to a
well-typed object only, and would answer for everything else with an error of the policy instead of one of the schema.
*/}}
{{- define "bailiwick.setMetadata" -}}
{{- $field := index . 0 -}}
patchType: JSONPatch
jsonPatch:
  expression: >-
    (object.metadata.?{{ $field }}.orValue(null) == null ? [JSONPatch{op: 'add', path: '/metadata/{{ $field }}', value: {}}] : [])
    + [JSONPatch{op: 'add', path: '/metadata/{{ $field }}/' + jsonpatch.escapeKey({{ index . 1 | squote }}), value: {{ index . 2 }}}]
{{- end }}
