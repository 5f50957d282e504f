" Keys: what they do while ghost text shows, and that they do what they did before when not.
scriptencoding utf-8

" <M-]> and the like are Ý, Û and Ü to Vim in a terminal, so these are Neovim's alone.
let s:defaults = [
      \ ['accept', ['<Tab>']],
      \ ['word', ['<M-Right>']],
      \ ['line', ['<M-C-Right>']],
      \ ['next', ['<M-Down>'] + (has('nvim') ? ['<M-]>'] : [])],
      \ ['previous', ['<M-Up>'] + (has('nvim') ? ['<M-[>'] : [])],
      \ ['dismiss', ['<C-]>']],
      \ ]
let s:triggers = ['<C-X><C-A>'] + (has('nvim') ? ['<M-Bslash>'] : [])

let s:mapped = []
" How many maps were wrapped; the numbers of those that are kept, and what each one's key types.
let s:wraps = 0
let s:kept = {}
let s:own = {}

" Map the customary keys, except for what the user has mapped to a key of their own.
function! autocoder#keys#map_defaults() abort
  if !autocoder#setting('maps')
    return
  endif
  for [l:action, l:keys] in s:defaults
    if !hasmapto('<Plug>(autocoder-' .. l:action .. ')', 'i')
      call extend(s:mapped, map(copy(l:keys), '[v:val, l:action]'))
    endif
  endfor
  call autocoder#keys#wrap()
  call s:map_triggers()
endfunction

" Put ours before whatever the keys are mapped to now, be it by a plugin loaded late or in this
" buffer alone (snippets). Needed only while a suggestion shows, since else they do that anyway.
function! autocoder#keys#wrap() abort
  for [l:key, l:action] in s:mapped
    let l:before = maparg(l:key, 'i', 0, 1)
    if get(l:before, 'rhs', '') !~# '^autocoder#keys#press('
      call s:put_before(l:key, l:action, l:before)
    endif
  endfor
endfunction

" What a wrapped key types: its action if a suggestion shows, else what it typed before.
function! autocoder#keys#press(action, number) abort
  return autocoder#suggest#visible() ? "\<Plug>(autocoder-" .. a:action .. ')'
        \ : "\<Plug>(autocoder-before-" .. a:number .. ')'
endfunction

" What <Plug>(autocoder-accept) and its kin type: nothing where no suggestion shows.
function! autocoder#keys#accept(amount) abort
  if !autocoder#suggest#visible()
    return ''
  endif
  call autocoder#insert#prepare(autocoder#suggest#part(a:amount))
  return "\<Plug>(autocoder-insert)"
endfunction

" What a map that was wrapped types, if it may be mapped again: its own key at the beginning is the
" plain key, as it was under its own name. (`imap <expr> <Tab> jumpable ? '<Plug>…' : '<Tab>'`)
function! autocoder#keys#own(typed, number) abort
  let l:key = s:own[a:number]
  return stridx(a:typed, l:key) == 0
        \ ? "\<Plug>(autocoder-own-" .. a:number .. ')' .. strpart(a:typed, len(l:key)) : a:typed
endfunction

function! s:put_before(key, action, before) abort
  execute printf('imap <silent> <expr> %s %s autocoder#keys#press(%s, %d)',
        \ get(a:before, 'buffer', 0) ? '<buffer>' : '', a:key, string(a:action),
        \ s:number(a:key, a:before))
endfunction

" The number under which the map of `key` is kept. Some plugins wrap ours each time Insert mode
" begins; then what was wrapped before serves again, lest the two lie in each other ever deeper.
function! s:number(key, before) abort
  let l:identity = s:identity(a:key, a:before)
  let l:number = get(s:kept, l:identity, 0)
  if !l:number || empty(maparg('<Plug>(autocoder-before-' .. l:number .. ')', 'i'))
    let s:wraps += 1
    let l:number = s:wraps
    let s:own[l:number] = eval('"\' .. a:key .. '"')
    execute 'inoremap <silent>' '<Plug>(autocoder-own-' .. l:number .. ')' a:key
    call s:keep(a:key, a:before, l:number)
  endif
  let s:kept[l:identity] = l:number
  return l:number
endfunction

" Two maps with the same are the same. What cannot be told is like nothing else.
function! s:identity(key, before) abort
  let l:local = get(a:before, 'buffer', 0)
  let l:what = map(['rhs', 'sid', 'expr', 'noremap'], {_, name -> get(a:before, name, '')})
  if has_key(a:before, 'callback')
    let l:source = v:lua.require'autocoder.keymap'.source(l:local, a:before.lhs)
    call add(l:what, empty(l:source) ? s:wraps : l:source)
  endif
  return string([a:key, l:local ? bufnr('%') : 0, l:what])
endfunction

" Map <Plug>(autocoder-before-N) to what `key` did: `before` is its map as maparg() tells it, {} if
" it had none.
function! s:keep(key, before, number) abort
  let l:name = '<Plug>(autocoder-before-' .. a:number .. ')'
  if empty(a:before)
    execute 'inoremap <silent>' l:name a:key
    return
  endif
  let l:map = extend(copy(a:before), {'lhs': l:name, 'lhsraw': eval('"\' .. l:name .. '"')})
  let l:script = '<SNR>' .. get(a:before, 'sid', 0) .. '_'
  let l:map.rhs = substitute(get(a:before, 'rhs', ''), '\c<SID>', l:script, 'g')
  if !a:before.noremap && a:before.expr
    let l:map.rhs = printf('autocoder#keys#own(%s, %d)', l:map.rhs, a:number)
  elseif !a:before.noremap && stridx(l:map.rhs, a:key) == 0
    let l:map.rhs = '<Plug>(autocoder-own-' .. a:number .. ')' .. strpart(l:map.rhs, len(a:key))
  endif
  if has('nvim')
    call v:lua.require'autocoder.keymap'.keep(l:map.buffer, a:before.lhs, l:name, l:map.rhs, a:number)
  else
    call mapset('i', 0, l:map)
  endif
endfunction

function! s:map_triggers() abort
  for l:key in s:triggers
    if !hasmapto('<Plug>(autocoder-trigger)', 'i') && empty(maparg(l:key, 'i'))
      execute 'imap <silent>' l:key '<Plug>(autocoder-trigger)'
    endif
  endfor
endfunction
