{{/*
The catalog as native PolicyRules, for the ceilings. `src/core/catalog.rs` gives the same verbs to the same actions; when
one of the two changes alone, the operator asks for more than it holds and the API server refuses it.
*/}}

{{/* Actions -> verbs on one line: each verb once, always in this order. */}}
{{- define "bailiwick.verbs" -}}
{{- $verbsOf := dict
      "create" (list "create")
      "read"   (list "get" "list" "watch")
      "list"   (list "list" "watch")
      "update" (list "update" "patch")
      "delete" (list "delete" "deletecollection")
      "use"    (list "get" "create")
}}
{{- $asked := list }}
{{- range $action := . }}
{{- $asked = concat $asked (index $verbsOf $action) }}
{{- end }}
{{- $verbs := list }}
{{- range $verb := list "get" "list" "watch" "create" "update" "patch" "delete" "deletecollection" }}
{{- if has $verb $asked }}
{{- $verbs = append $verbs $verb }}
{{- end }}
{{- end }}
{{- include "bailiwick.flow" $verbs }}
{{- end }}

{{/* All rules of the words with one target: (dict "catalog" … "target" …). Maps are ranged over in the order of keys. */}}
{{- define "bailiwick.catalogRules" -}}
{{- range $word, $entry := .catalog }}
{{- if eq ($entry.target | default "organization") $.target }}
{{- range $name, $rule := $entry.rules }}
# {{ $word }}: {{ $name }}
- apiGroups: {{ include "bailiwick.flow" $rule.apiGroups }}
  resources: {{ include "bailiwick.flow" $rule.resources }}
  {{- with $rule.resourceNames }}
  resourceNames: {{ include "bailiwick.flow" . }}
  {{- end }}
  verbs: {{ include "bailiwick.verbs" ($rule.actions | default (list "create" "read" "update" "delete")) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
