{#- Rows of `model` for which `condition` is not true; unknown counts as not true. -#}
{% test always(model, condition) %}

select *
from {{ model }}
where not coalesce({{ condition }}, false)

{% endtest %}
