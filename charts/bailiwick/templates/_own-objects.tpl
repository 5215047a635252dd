{{/*
Parts of policies/own-objects.yaml: who owns an object, and the kinds that people can own.
*/}}

{{/*
Whether the policies about own objects are part of this installation. They select namespaces by a label that only
bailiwick-namespace-claims protects.
*/}}
{{- define "bailiwick.objectsHaveOwners" -}}
{{- $policies := .Values.admissionPolicies -}}
{{- $kinds := include "bailiwick.ownKinds" . | fromJson -}}
{{- and $policies.ownObjects.enabled $policies.namespaceClaims.enabled (eq (include "bailiwick.mutates" .) "true") (gt (len $kinds) 0) -}}
{{- end }}

{{/*
The namespaced kinds of the catalog that can be changed or deleted, by API group, as JSON. Never Secrets, because the
error message of a failed patch shows the whole object. Never Bailiwick's own kinds, which have rules of their own.
Subresources have no owner annotation.
*/}}
{{- define "bailiwick.ownKinds" -}}
{{- $kinds := dict }}
{{- range $word, $entry := .Values.catalog }}
{{- if eq ($entry.target | default "organization") "organization" }}
{{- range $name, $rule := $entry.rules }}
{{- $actions := $rule.actions | default (list "update") }}
{{- if or (has "update" $actions) (has "delete" $actions) }}
{{- range $group := without $rule.apiGroups "bailiwick.dev" }}
{{- range $resource := $rule.resources }}
{{- if not (or (contains "/" $resource) (and (eq $group "") (eq $resource "secrets"))) }}
{{- $_ := set $kinds $group (append (get $kinds $group | default list) $resource | uniq | sortAlpha) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $kinds | toJson }}
{{- end }}

{{/* The templates in objects of the catalog's kinds, by path, each with the kinds that have it, as JSON. */}}
{{- define "bailiwick.ownTemplates" -}}
{{- $own := include "bailiwick.ownKinds" . | fromJson }}
{{- $paths := dict }}
{{- range $word, $entry := .Values.catalog }}
{{- range $name, $rule := $entry.rules }}
{{- range $path := $rule.templates }}
{{- $kinds := get $paths $path | default list }}
{{- range $group := $rule.apiGroups }}
{{- range $resource := $rule.resources }}
{{- if has $resource (get $own $group | default list) }}
{{- $kinds = append $kinds (printf "%s/%s" $group $resource) | uniq | sortAlpha }}
{{- end }}
{{- end }}
{{- end }}
{{- if $kinds }}
{{- $_ := set $paths $path $kinds }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $paths | toJson }}
{{- end }}

{{/* Rules that match the kinds: (dict "kinds" … "operations" … "suffixes" …), the last for subresources. */}}
{{- define "bailiwick.ownKindRules" -}}
{{- range $group, $resources := .kinds }}
{{- $names := list }}
{{- range $resources }}
{{- $resource := . }}
{{- range $suffix := $.suffixes | default (list "") }}
{{- $names = append $names (print $resource $suffix) }}
{{- end }}
{{- end }}
- apiGroups: [{{ $group | quote }}]
  apiVersions: ["*"]
  resources: {{ include "bailiwick.flow" $names }}
  operations: {{ include "bailiwick.flow" $.operations }}
  scope: Namespaced
{{- end }}
{{- end }}

{{/* A CEL expression: the owner that metadata states, or an empty string. The argument is a path such as
`object.metadata`, or one with optional parts such as `object.?spec.?template.?metadata`. */}}
{{- define "bailiwick.ownerIn" -}}
string({{ . }}.?annotations[?'bailiwick.dev/owner'].orValue(''))
{{- end }}

{{/*
A CEL expression: the owner to write. (list asked before): what the request states, and what the owner would be without
the request. Holders of `transfer` may state any owner, but dropping the annotation is no transfer.
*/}}
{{- define "bailiwick.ownerAfter" -}}
({{ index . 0 }} in ['', {{ index . 1 }}] || !variables.mayTransfer ? {{ index . 1 }} : {{ index . 0 }})
{{- end }}

{{/*
A CEL expression: the JSON patches that write an owner into metadata. (list metadata path asked owner): a CEL path to
the metadata (with optional parts), its JSON pointer as CEL, and two expressions.
*/}}
{{- define "bailiwick.ownerPatches" -}}
{{- $metadata := index . 0 }}{{ $path := index . 1 }}{{ $asked := index . 2 }}{{ $owner := index . 3 -}}
({{ $asked }} == {{ $owner }} ? []
: {{ $owner }} == '' ? [JSONPatch{op: 'remove', path: {{ $path }} + '/annotations/bailiwick.dev~1owner'}]
: ({{ $metadata }}.orValue(null) == null ? [JSONPatch{op: 'add', path: {{ $path }}, value: {}}] : [])
+ ({{ $metadata }}.?annotations.orValue(null) == null ? [JSONPatch{op: 'add', path: {{ $path }} + '/annotations', value: {}}] : [])
+ [JSONPatch{op: 'add', path: {{ $path }} + '/annotations/bailiwick.dev~1owner', value: {{ $owner }}}])
{{- end }}

{{/*
Requests that set an owner. Kubernetes' own controllers and the listed ones create objects for people: the owner is in
the template, or the controller copies it.
*/}}
{{- define "bailiwick.setsAnOwner" -}}
{{- include "bailiwick.notTheControlPlane" . }}
{{- with .Values.admissionPolicies.ownObjects.controllers }}
- name: not-a-controller
  expression: "request.operation == 'UPDATE' || !(request.userInfo.username in {{ toJson . | replace "\"" "'" }})"
{{- end }}
{{- end }}

{{/*
Requests that the fences look at. To give the markers to others, the operator has them itself. Its own guard limits it.
*/}}
{{- define "bailiwick.mayBeFenced" -}}
{{- include "bailiwick.notTheControlPlane" . }}
- name: not-the-operator
  expression: request.userInfo.username != {{ include "bailiwick.operatorUsername" . | squote }}
{{- end }}

{{/* The binding of a policy to the namespaces of organizations: (list . "Mutating" "name"). */}}
{{- define "bailiwick.ownBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: {{ index . 1 }}AdmissionPolicyBinding
metadata:
  name: {{ index . 2 }}
  labels:
    {{- include "bailiwick.labels" (index . 0) | nindent 4 }}
spec:
  policyName: {{ index . 2 }}
  {{- if eq (index . 1) "Validating" }}
  validationActions: ["Deny"]
  {{- end }}
  matchResources:
    {{- include "bailiwick.inOrganizations" (index . 0) | nindent 4 }}
{{- end }}
