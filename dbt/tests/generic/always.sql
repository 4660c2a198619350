{#- Rows of `model` for which `condition` is not true; unknown counts as not true. A column that carries the test is
    only where it is written down. -#}
{% test always(model, condition, column_name=none) %}

select *
from {{ model }}
where not coalesce({{ condition }}, false)

{% endtest %}
