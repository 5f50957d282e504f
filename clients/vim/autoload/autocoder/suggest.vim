" The life of a suggestion: asked for, shown, typed through, accepted or dismissed.
" Every reply is compared with the text it was asked for. What to suggest, and whether, is the
" daemon's affair. Knows no drawing and no process.
scriptencoding utf-8

" The suggestion on the screen ({} if none): where it begins (buffer, lnum, head and tail of that
" line when it was asked for), its texts, which of them is shown, and how much was accepted.
let s:shown = {}
let s:timer = -1
let s:place = []
let s:refused = []
let s:asked = ''

" The cursor or the text changed: keep the ghost if what was typed agrees with it, else ask anew.
function! autocoder#suggest#follow() abort
  if !empty(s:shown)
    let l:rest = s:rest()
    if !empty(l:rest) && !autocoder#wanted#menu_shows()
      return autocoder#ghost#draw(l:rest)
    endif
    call s:finish(l:rest is# '' ? 'partly' : 'dismissed')
  endif
  if autocoder#context#place() !=# s:place
    call s:schedule()
  endif
endfunction

" The window shows another part of the text, or has another size: as much of the ghost as fits.
function! autocoder#suggest#fit() abort
  if !empty(s:shown) && autocoder#suggest#visible()
    call autocoder#ghost#clear()
    call autocoder#ghost#draw(s:rest())
  endif
endfunction

" Insert mode, the buffer or the window is left: nothing stays on the screen or under way.
function! autocoder#suggest#leave() abort
  if empty(s:place) && empty(s:shown) && empty(s:asked)
    return
  endif
  call timer_stop(s:timer)
  let s:place = []
  if !empty(s:shown)
    call s:finish('dismissed')
  endif
  if !empty(s:asked)
    call autocoder#bridge#tell({'type': 'cancel', 'target': s:asked})
    let s:asked = ''
  endif
endfunction

" Does a suggestion show that fits the text as it is now, keys not yet drawn included?
function! autocoder#suggest#visible() abort
  return !empty(s:shown) && !autocoder#wanted#menu_shows() && !empty(s:rest())
endfunction

" What is left of the suggestion at the cursor: all of it, its next word or its next line.
function! autocoder#suggest#part(amount) abort
  let l:rest = s:rest()
  let l:pattern = {'all': '^\_.*', 'line': '^\n*[^\n]*',
        \ 'word': '^\_s*\%(\w\+\|[^[:alnum:]_[:space:]]\+\)'}[a:amount]
  let l:part = matchstr(l:rest, l:pattern)
  return empty(l:part) ? l:rest : l:part
endfunction

" `text`, a beginning of the rest, is about to be inserted.
function! autocoder#suggest#accepting(text) abort
  let s:shown.accepted += strchars(a:text)
  if a:text ==# s:rest()
    call s:finish('accepted')
  else
    call autocoder#ghost#clear()
  endif
endfunction

" Take it off the screen, and do not offer anything again before the text changes.
function! autocoder#suggest#dismiss() abort
  let s:refused = autocoder#context#place()
  call timer_stop(s:timer)
  if !empty(s:shown)
    call s:finish('dismissed')
  endif
endfunction

" Ask now and for more lines, also where nothing is shown of itself.
function! autocoder#suggest#trigger() abort
  let s:refused = []
  if autocoder#wanted#possible()
    call s:ask({'max_lines': autocoder#number('trigger_lines'),
          \ 'max_tokens': autocoder#number('trigger_tokens')}, {'explicit': 1, 'step': 0})
  endif
endfunction

" Show another suggestion; the first time, alternatives have to be asked for.
function! autocoder#suggest#cycle(step) abort
  if !autocoder#suggest#visible()
    return
  elseif !s:shown.alternatives
    return s:ask({'max_lines': s:shown.max_lines, 'candidates': 4},
          \ {'explicit': 1, 'step': a:step})
  endif
  let l:count = len(s:shown.texts)
  for l:_ in range(l:count)
    let s:shown.index = (s:shown.index + a:step + l:count) % l:count
    if !empty(s:rest())
      return autocoder#ghost#draw(s:rest())
    endif
  endfor
endfunction

" Whether anything is wanted here is asked when the keys rest, not at each key.
function! s:schedule() abort
  call timer_stop(s:timer)
  if autocoder#wanted#menu_shows()
    return
  endif
  let s:place = autocoder#context#place()
  if s:place !=# s:refused
    let s:timer = timer_start(autocoder#number('delay'), s:fire)
  endif
endfunction

" Ask for the place the cursor is at, if a suggestion could be shown there.
function! autocoder#suggest#fire() abort
  if autocoder#wanted#typing() && autocoder#wanted#automatic()
    call s:ask({'max_lines': autocoder#number('max_lines')}, {'explicit': 0, 'step': 0})
  endif
endfunction

let s:fire = {_ -> autocoder#guard#run('autocoder#suggest#fire')}

" Send a request for the cursor's place. `wish`: whether the user asked for it, and which of the
" suggestions, counted from the first, to show. What else was to be asked here would supersede it.
function! s:ask(fields, wish) abort
  call timer_stop(s:timer)
  let s:place = autocoder#context#place()
  let l:origin = {'buffer': bufnr('%'), 'lnum': line('.'), 'column': col('.'),
        \ 'head': strpart(getline('.'), 0, col('.') - 1), 'tail': strpart(getline('.'), col('.') - 1),
        \ 'max_lines': a:fields.max_lines, 'alternatives': get(a:fields, 'candidates', 1) > 1,
        \ 'accepted': 0}
  let l:fields = extend({'max_tokens': autocoder#number('max_tokens')}, a:fields)
  let s:asked = autocoder#bridge#complete(autocoder#context#request(l:fields),
        \ {reply -> s:answer(l:origin, reply, a:wish)})
endfunction

" A reply. What is on the screen and still fits stays, unless the user asked for something else.
function! s:answer(origin, reply, wish) abort
  if get(a:reply, 'id', '') ==# s:asked
    let s:asked = ''
    call s:redraw_status()
  endif
  let l:texts = s:texts(a:reply)
  if empty(l:texts) || !autocoder#wanted#typing()
        \ || (autocoder#suggest#visible() && !a:wish.explicit)
    return
  endif
  let l:candidate = extend({'id': a:reply.id, 'texts': l:texts,
        \ 'index': (a:wish.step + len(l:texts)) % len(l:texts)}, a:origin)
  call s:show(l:candidate)
endfunction

" The sign for waiting goes when the answer comes, not at the next key.
function! s:redraw_status() abort
  if &statusline =~# 'autocoder'
    redrawstatus
  endif
endfunction

function! s:texts(reply) abort
  if a:reply.type !=# 'completion' || type(get(a:reply, 'suggestions')) != v:t_list
    return []
  endif
  let l:fit = filter(copy(a:reply.suggestions),
        \ 'type(v:val) == v:t_dict && type(get(v:val, "text")) == v:t_string && !empty(v:val.text)')
  return map(l:fit, 'v:val.text')
endfunction

" Show `candidate` unless the text has gone another way since it was asked for.
function! s:show(candidate) abort
  let l:before = s:shown
  let s:shown = a:candidate
  let l:rest = s:rest()
  if empty(l:rest)
    let s:shown = l:before
    return
  endif
  call autocoder#keys#wrap()
  call autocoder#ghost#draw(l:rest)
  call s:feedback(s:shown, 'shown')
endfunction

" What the user has not yet typed of the suggestion; v:null where the text went another way.
function! s:rest() abort
  let l:rest = s:rest_from_origin()
  if l:rest is v:null && s:pushed()
    let s:shown.lnum += line('$') - s:shown.seen.count
    let l:rest = s:rest_from_origin()
  endif
  if l:rest isnot v:null
    let s:shown.seen = {'count': line('$'), 'lnum': line('.'), 'line': getline('.')}
  endif
  return l:rest
endfunction

" Did lines come or go above the cursor's, which is as it was: an import that a language server
" added, say?
function! s:pushed() abort
  let l:seen = get(s:shown, 'seen', {})
  return !empty(l:seen) && line('$') != l:seen.count
        \ && line('.') - l:seen.lnum == line('$') - l:seen.count && getline('.') ==# l:seen.line
endfunction

function! s:rest_from_origin() abort
  let l:typed = s:typed()
  let l:text = s:shown.texts[s:shown.index]
  let l:agrees = l:typed isnot# v:null && strpart(l:text, 0, len(l:typed)) ==# l:typed
  return l:agrees ? strpart(l:text, len(l:typed)) : v:null
endfunction

" The text between the suggestion's origin and the cursor; v:null where that cannot be said.
function! s:typed() abort
  let [l:first, l:last, l:at] = [s:shown.lnum, line('.'), col('.') - 1]
  if bufnr('%') != s:shown.buffer || l:last < l:first || l:last > l:first + 200
    return v:null
  endif
  let l:lines = getline(l:first, l:last)
  if strpart(l:lines[-1], l:at) !=# s:shown.tail || (&virtualedit isnot# '' && getpos('.')[3])
    return v:null
  endif
  let l:lines[-1] = strpart(l:lines[-1], 0, l:at)
  let l:size = len(s:shown.head)
  return strpart(l:lines[0], 0, l:size) ==# s:shown.head
        \ ? strpart(join(l:lines, "\n"), l:size) : v:null
endfunction

" Take the suggestion off the screen and tell the daemon what became of it, once.
function! s:finish(event) abort
  let l:over = s:shown
  let s:shown = {}
  call autocoder#ghost#clear()
  call s:feedback(l:over, a:event ==# 'dismissed' && l:over.accepted ? 'partly' : a:event)
endfunction

function! s:feedback(suggestion, event) abort
  call autocoder#bridge#tell({'type': 'feedback', 'target': a:suggestion.id, 'event': a:event,
        \ 'characters': a:suggestion.accepted, 'candidate': a:suggestion.index})
endfunction
