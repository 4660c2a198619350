{#- Money is NUMBER(18, 2), rounded half away from zero, and never divided: rates are inverted once, to twelve
    decimals, and multiplied, which NUMBER does exactly. -#}

{#- Units of the reporting currency for one unit of a currency quoted as `units_per_eur`; the numerator carries the
    scale, because a quotient has no more decimals than max(its numerator's, 6). -#}
{% macro inverse_rate(units_per_eur) -%}
    round(1::number(14, 12) / {{ units_per_eur }}, 12)::number(20, 12)
{%- endmacro %}

{% macro to_eur(amount, eur_per_unit) -%}
    round({{ amount }} * {{ eur_per_unit }}, 2)::number(18, 2)
{%- endmacro %}

{#- A fee as a share of an amount; that of a negative amount is negative. `rate` is a decimal as text. The amount is
    widened first, so that the product of the largest one still has its digits on every engine. -#}
{% macro fee_of(amount, rate) -%}
    round({{ amount }}::number(20, 2) * {{ rate }}::number(9, 6), 2)::number(18, 2)
{%- endmacro %}
